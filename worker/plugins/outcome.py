"""What came of calling a plugin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Returned:
    """It returned something, which nobody has checked yet."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised."""

    error: BaseException


Outcome: TypeAlias = Returned | Failed


def outcome_of(function: Callable[..., Any], *given: object) -> Outcome:
    """Call a plugin's own code; whatever it raises is its failure, SystemExit too."""
    try:
        return Returned(function(*given))
    except BaseException as error:  # noqa: BLE001 - nothing of a plugin's may end the thread
        return Failed(error)
