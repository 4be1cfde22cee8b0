"""Worker processes that crash: started again, and given up when they do nothing else."""

import multiprocessing
import os
from multiprocessing.context import SpawnProcess
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker import supervisor
from worker.supervisor import EXIT_CRASH_LOOP, EXIT_INVARIANT, Supervisor


class Doomed(Supervisor):
    """A supervisor whose worker processes end at once with ``code``."""

    code = 7

    def _start(self) -> SpawnProcess:
        child = multiprocessing.get_context("spawn").Process(target=os._exit, args=(self.code,))
        child.start()
        return child


class Quiet:
    """Rules that nobody changes."""

    async def run(self) -> None:
        """Return at once."""


def doomed(code: int) -> Doomed:
    settings: Any = type("S", (), {"processes": 1, "drain_timeout": 1.0})
    made = Doomed(settings, Quiet())  # type: ignore[arg-type]
    Doomed.code = code
    return made


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(*_: object) -> None:
        """Wait for nothing."""

    monkeypatch.setattr(supervisor, "CRASHES_PER_MINUTE", 3)
    monkeypatch.setattr(Supervisor, "_backoff", at_once)


async def test_a_crash_loop_is_reported_and_given_up() -> None:
    """Whoever runs the worker sees an exit code of its own, and the log says what it means."""
    with capture_logs() as logs:
        assert await doomed(7).run() == EXIT_CRASH_LOOP
    events = [line["event"] for line in logs]
    assert events.count("worker process ended") == 3
    assert events[-1] == "crash loop: given up"


async def test_a_broken_invariant_is_not_tried_again() -> None:
    """A restart cannot mend it."""
    with capture_logs() as logs:
        assert await doomed(EXIT_INVARIANT).run() == EXIT_INVARIANT
    assert [line["event"] for line in logs] == ["worker process ended"]
