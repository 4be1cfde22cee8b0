"""One worker process as the supervisor starts it, forked from a process that has imported everything.

It is ready in a tenth of a second, which makes hundreds of crashes affordable. What the supervisor adds is
tested with the real command (tests/support/command.py).
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Final

from tests.support.fault_points import Fault
from tests.support.stage import DEADLINE_SECONDS, eventually
from worker.rules_file import load
from worker.settings import Settings
from worker.supervisor import _child

STOP_SECONDS: Final = 60.0


def fork_server() -> ForkServerContext:
    """Where worker processes are forked from; it starts with the first of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "uvloop", "worker.plugins.registry"])
    return context


class WorkerProcess:
    """A worker process. ``kill`` and ``terminate`` return at once; ``ended`` waits for its exit code."""

    def __init__(
        self,
        context: ForkServerContext,
        settings: Settings,
        log: Path,
        faults: tuple[Fault, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._process = context.Process(
            target=_work, args=(settings, str(log), faults, dict(environ or {})), name="worker"
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for the signal that ended it; None while it runs."""
        return self._process.exitcode

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def sessions(self) -> int:
        """How many sessions it has started."""
        return self.log.count("session started")

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to drain and go."""
        self.send_signal(signal.SIGTERM)

    async def ended(self, within_seconds: float = STOP_SECONDS) -> int:
        """Wait until it has ended; return its exit code."""

        async def gone() -> bool:
            return self._process.exitcode is not None

        try:
            await eventually(gone, "the end of the worker process", within_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says: {self.log[-2000:]}") from None
        assert self._process.exitcode is not None
        return self._process.exitcode

    async def in_session(self, count: int = 1) -> None:
        """Wait until it has started this many sessions."""
        await self.says(
            lambda log: log.count("session started") >= count, f"{count} sessions", DEADLINE_SECONDS + count
        )

    async def says(
        self, condition: Callable[[str], bool], what: str, within_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Wait until its log is as wanted."""

        async def said() -> bool:
            if condition(self.log):
                return True
            assert self.exit_code is None, f"the worker ended with {self.exit_code}: {self.log[-2000:]}"
            return False

        await eventually(said, what, within_seconds)

    def close(self) -> None:
        """Leave nothing running."""
        self.send_signal(signal.SIGCONT)
        self.kill()
        self._process.join(STOP_SECONDS)
        self._process.close()


def _work(settings: Settings, log: str, faults: tuple[Fault, ...], environ: dict[str, str]) -> None:
    """Be a worker process, with its output in a file and these faults in it."""
    sys.stdout.flush()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(environ)
    for fault in faults:
        fault.install()
    _child(settings, load(settings.rules).keep())
