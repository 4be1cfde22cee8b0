"""What a worker remembers of its own claims, so that their endings need not be looked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 100_000
"""Claims that are remembered; sessions that ended have left theirs behind."""


@dataclass(slots=True)
class Mine:
    """The rows and dispatches of this worker's claims, by payment id.

    Only ever a shortcut: what is not here is looked up, and what is here is checked when it is written.
    """

    rows: dict[str, tuple[int, str | None]] = field(default_factory=dict)

    def add(self, claims: Mapping[str, tuple[int, str | None]]) -> None:
        """Remember claims: their rows and dispatch ids."""
        if len(self.rows) > MOST:
            self.rows.clear()
        self.rows.update(claims)
