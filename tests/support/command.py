"""The real command as a process: one that ends by itself, and a worker that is signalled."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

COMMAND_SECONDS = 60.0
POLL_SECONDS = 0.02
_SETTINGS = re.compile(r"(PAYMENT_WORKER_|OTEL_|NO_COLOR|FORCE_COLOR|COLUMNS)")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the worker's settings, without a journal, with ``extra`` added."""
    kept = {name: value for name, value in os.environ.items() if not _SETTINGS.match(name)}
    return {**kept, "COLUMNS": "200", "PAYMENT_WORKER_JOURNAL": "none", **(extra or {})}


def run_command(
    *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", folder: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run ``payment-worker`` until it ends by itself and return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env=environment(env),
        input=stdin,
        capture_output=True,
        timeout=COMMAND_SECONDS,
        check=False,
        cwd=folder,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def wait_until(condition: Callable[[], bool], what: str, within_seconds: float = COMMAND_SECONDS) -> None:
    """Poll until the condition holds; fail by name when the time is over."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_seconds:g} s")
        time.sleep(POLL_SECONDS)


class RunningWorker:
    """``payment-worker run`` as a process group of its own, its log in a file and its journal beside it."""

    def __init__(self, log: Path, arguments: tuple[str, ...], env: Mapping[str, str] | None) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run", "--log-format", "json", *arguments],
                env=environment(
                    {"PAYMENT_WORKER_JOURNAL": f"sqlite:///{log.parent / 'journal.db'}", **(env or {})}
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        """The process ids of its worker processes."""
        pid = self.process.pid
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in listed if b"spawn_main" in _command_line(int(child))]

    def wait_for_sessions(self, count: int) -> None:
        """Wait until this many sessions have started since the beginning."""

        def started() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended with {self.process.returncode}: {self.log}")
            return self.log.count("session started") >= count

        wait_until(started, f"{count} sessions")

    def terminate(self) -> tuple[int, float]:
        """Ask it to stop as an operator does; return its exit code and the seconds it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(COMMAND_SECONDS)
        return code, time.monotonic() - started

    def kill_group(self) -> None:
        """End the supervisor and every worker process by SIGKILL, as a machine's failure would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(COMMAND_SECONDS)

    def group_is_gone(self) -> bool:
        """Whether neither the supervisor nor any of its processes is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def close(self) -> None:
        """Leave nothing running."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(COMMAND_SECONDS)


StartWorker = Callable[..., AbstractContextManager[RunningWorker]]
"""Starts a worker with further options and environment variables; see ``running_worker``."""


@contextmanager
def running_worker(
    log: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[RunningWorker]:
    """Run a worker for the block; whatever is left of it at the end is killed."""
    worker = RunningWorker(log, arguments, env)
    try:
        yield worker
    finally:
        worker.close()


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
