"""Runs plugins' own code while rules are loaded: in a thread, and waited for no longer than a deadline."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from worker.errors import PluginNotReady
from worker.plugins.outcome import Outcome, outcome_of
from worker.routing.problems import Problem
from worker.routing.uses import Refused

MOST_HANGING: Final = 4
"""Attempts to make one plugin ready that may hang at once: Python cannot stop a thread."""


@dataclass(slots=True)
class Ready:
    """Makes plugins ready; knows what of theirs still hangs."""

    _hanging: dict[str, list[threading.Thread]] = field(default_factory=dict)

    def run(self, plugin: str, seconds: float, function: Callable[[], object], remedy: str) -> Outcome:
        """Return what came of a plugin's own code; raises ``Refused`` when it does not come back in time."""
        left = [thread for thread in self._hanging.get(plugin, ()) if thread.is_alive()]
        self._hanging[plugin] = left
        if len(left) >= MOST_HANGING:
            message = f"{plugin} is not tried again: {len(left)} earlier tries hang; {remedy}, and restart"
            raise _not_ready(message)
        came: SimpleQueue[Outcome] = SimpleQueue()
        thread = threading.Thread(
            target=lambda: came.put(outcome_of(function)), name=f"plugin {plugin}", daemon=True
        )
        thread.start()
        try:
            return came.get(timeout=seconds)
        except Empty:
            left.append(thread)
            message = f"{plugin} is not ready after {seconds:g} s: {remedy}"
            raise _not_ready(message) from None


def _not_ready(message: str) -> Refused:
    return Refused((Problem((), message, code=PluginNotReady.code),), on_name=True)
