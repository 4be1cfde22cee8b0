"""What came of calling a plugin."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Returned:
    """It returned something, which nobody has checked yet."""

    value: object


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised."""

    error: BaseException


Outcome: TypeAlias = Returned | Failed
