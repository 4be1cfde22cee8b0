"""How a peer can be started. Which setting is fastest depends on the machine, so the benchmark tries them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Setting:
    """Arguments behind the broker's URL, and the environment; ``what`` says it in the table."""

    what: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
