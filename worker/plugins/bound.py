"""A plugin as it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Bound:
    """A plugin ready to be called; ``deadline_seconds`` is how long one call may take.

    ``call`` is the method of the object that was made when the rules were loaded. ``make`` makes another
    object, which may take ``ready_seconds``, and returns its method.
    """

    plugin: str
    call: Callable[..., Any]
    make: Callable[[], Callable[..., Any]]
    is_async: bool
    deadline_seconds: float
    ready_seconds: float
