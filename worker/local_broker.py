"""A private RabbitMQ node for the demo, the tests and the benchmarks.

It has its own ports on 127.0.0.1, its own folder, cookie and port mapper (epmd), reads none of the machine's
configuration, and runs as whoever starts it: another RabbitMQ on 5672 and its data are never touched.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from worker.errors import LocalBrokerFailed
from worker.rabbitmq import Installation, accepts_login, find_installation, free_ports, is_free
from worker.rabbitmq_node import NODE_NAME, NodeLayout, take_folder

_START_TIMEOUT_SECONDS = 60.0
_STOP_TIMEOUT_SECONDS = 20.0
_CTL_TIMEOUT_SECONDS = 60.0
_EPMD_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_SHOWN_LOG_LINES = 12
_HIGHEST_PORT = 65_535


class LocalBroker:
    """One RabbitMQ node, started and stopped by this object; a context manager, sync and async.

    ``start``, ``stop``, ``kill`` and ``restart`` keep ports and data, so ``url`` stays valid; ``close`` ends
    everything and removes the folder unless ``data_dir`` was given. If this process dies, even by SIGKILL, a
    guard process does the same. From asyncio, use ``async with``, and ``asyncio.to_thread`` around methods.

    Args:
        data_dir: the folder to keep data in; by default a temporary one. One node at a time may use it.
        port: the AMQP port on 127.0.0.1; by default a free one.
        memory_bytes: above this, the broker blocks publishers.
        disk_free_bytes: below this much free disk, the broker blocks publishers.
        schedulers: how many threads run Erlang code.
        consumer_timeout_seconds: how long a delivery may stay unacked; by default RabbitMQ's 30 minutes.
        extra_config: further lines of rabbitmq.conf, key to value.
        installation: the RabbitMQ to run; by default the one this machine has, or RabbitMQMissing is raised.
    """

    def __init__(  # noqa: PLR0913 - options by keyword, each with a default
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        memory_bytes: int = 1 << 30,
        disk_free_bytes: int = 50_000_000,
        schedulers: int = 2,
        consumer_timeout_seconds: float | None = None,
        extra_config: Mapping[str, str] | None = None,
        installation: Installation | None = None,
    ) -> None:
        self._installation = installation or find_installation()
        self._data_dir = data_dir
        self._wanted_port = port
        self._schedulers = schedulers
        self._config = {
            "vm_memory_high_watermark.absolute": str(memory_bytes),
            "disk_free_limit.absolute": str(disk_free_bytes),
            # The write-ahead log is held in memory as well: RabbitMQ's 512 MB would be half of what we allow.
            "raft.wal_max_size_bytes": str(memory_bytes // 8),
        }
        if consumer_timeout_seconds is not None:
            self._config["consumer_timeout"] = str(round(consumer_timeout_seconds * 1000))
        self._config.update(extra_config or {})
        self._layout: NodeLayout | None = None
        self._guard: subprocess.Popen[str] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        """Where clients connect; raises LocalBrokerFailed before the first start."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def port(self) -> int:
        """The AMQP port; raises LocalBrokerFailed before the first start."""
        return self._opened().amqp_port

    @property
    def folder(self) -> Path:
        """Where data, configuration and logs are; raises LocalBrokerFailed before the first start."""
        return self._opened().folder

    @property
    def pid(self) -> int | None:
        """The node's process id while it runs."""
        return self._node.pid if self._node is not None and self._node.poll() is None else None

    def start(self, timeout_seconds: float = _START_TIMEOUT_SECONDS) -> None:
        """Return once the node accepts logins (4-7 s); a running node is left alone.

        Raises LocalBrokerFailed with the last log lines when it ends or is not ready in time; a first start
        that fails leaves nothing behind.
        """
        if self.pid is not None:
            return
        first = self._layout is None
        try:
            if first:
                self._open()
            self._launch()
            self._wait_until_ready(timeout_seconds)
            self._enable_feature_flags()
        except BaseException:
            if first:
                self.close()
            else:
                self.kill()
            raise

    def stop(self) -> None:
        """End the node in order (about 1 s) and keep its data; it is killed if that takes more than 20 s."""
        if self._node is None:
            return
        self._node.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._node.wait(_STOP_TIMEOUT_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the node by SIGKILL, as a crash would; data and ports stay.

        RabbitMQ takes about a second to write down which quorum queues exist: ``flush`` first when one was
        just declared, or that queue comes back dead.
        """
        if self._node is None:
            return
        if self._node.poll() is None:
            os.killpg(self._node.pid, signal.SIGKILL)
        self._node.wait()
        self._node = None
        self._tell_guard("")

    def flush(self) -> None:
        """Make the node write its directory of quorum queues to disk now (about 0.5 s)."""
        self.rabbitmqctl("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def restart(self) -> None:
        """Stop in order and start again on the same ports and data."""
        self.stop()
        self.start()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit code of a node that ended by itself; None while it still runs after the timeout."""
        if self._node is None:
            return None
        try:
            return self._node.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Stop the node and leave nothing behind: no process, and no folder unless one was given."""
        try:
            self.stop()
        finally:
            guard, self._guard = self._guard, None
            if guard is not None and guard.stdin is not None:
                guard.stdin.close()
                guard.wait()
            if self._lock is not None:
                self._lock.close()
                self._lock = None
            self._layout = None

    def rabbitmqctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints for these arguments (about 0.5 s); LocalBrokerFailed when it fails."""
        command = [str(self._installation.ctl), "--quiet", "--node", NODE_NAME, *arguments]
        done = subprocess.run(  # noqa: S603 - RabbitMQ's own program, without a shell
            command,
            env=self._opened().environment(),
            capture_output=True,
            text=True,
            timeout=_CTL_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LocalBrokerFailed(
                f"`rabbitmqctl {' '.join(arguments)}` ended with {done.returncode}: {said}"
            )
        return done.stdout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _opened(self) -> NodeLayout:
        if self._layout is None:
            raise LocalBrokerFailed("this broker has no ports and no folder yet: call start() first")
        return self._layout

    def _open(self) -> None:
        """Take ports and folder, and start the guard that gives them back."""
        if self._wanted_port is not None and not (
            0 < self._wanted_port <= _HIGHEST_PORT and is_free(self._wanted_port)
        ):
            raise LocalBrokerFailed(
                f"port {self._wanted_port} on 127.0.0.1 cannot be used: it is taken, or not a port from 1 to "
                f"{_HIGHEST_PORT}; name another or none, so that a free one is found"
            )
        amqp_port, distribution_port, epmd_port = free_ports(3)
        folder, self._lock = take_folder(self._data_dir)
        self._layout = NodeLayout(
            installation=self._installation,
            folder=folder,
            temporary=self._data_dir is None,
            amqp_port=self._wanted_port or amqp_port,
            distribution_port=distribution_port,
            epmd_port=epmd_port,
            schedulers=self._schedulers,
            config=self._config,
        )
        self._layout.write()
        self._guard = subprocess.Popen(  # noqa: S603 - a constant script
            self._layout.guard_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            pass_fds=() if self._lock is None else (self._lock.fileno(),),
        )
        self._wait_for_epmd(epmd_port)

    def _wait_for_epmd(self, port: int) -> None:
        """Until the guard's epmd listens; else the node would start one that nobody ends."""
        deadline = time.monotonic() + _EPMD_TIMEOUT_SECONDS
        while is_free(port):
            if time.monotonic() > deadline:
                raise LocalBrokerFailed(
                    f"{self._installation.epmd} does not listen on {port} after {_EPMD_TIMEOUT_SECONDS:g} s; "
                    f"run `epmd -port {port}` by hand to see why"
                )
            time.sleep(_POLL_SECONDS / 5)

    def _launch(self) -> None:
        layout = self._opened()
        with (layout.folder / "console.log").open("wb") as console:
            self._node = subprocess.Popen(  # noqa: S603 - RabbitMQ's own program, without a shell
                [str(self._installation.server)],
                env=layout.environment(),
                cwd=layout.folder,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tell_guard(str(self._node.pid))

    def _tell_guard(self, node: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(node + "\n")
                self._guard.stdin.flush()

    def _wait_until_ready(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if accepts_login(self.port):
                return
            if (exit_code := self.wait(_POLL_SECONDS)) is not None:
                raise LocalBrokerFailed(
                    self._explain(f"ended with exit code {exit_code} before it was ready")
                )
        raise LocalBrokerFailed(self._explain(f"was not ready within {timeout_seconds:g} s"))

    def _explain(self, what: str) -> str:
        lines = self._opened().telling_log_lines(_SHOWN_LOG_LINES) or ["(it wrote nothing)"]
        return "\n".join(
            [f"the private RabbitMQ node {what}; what it logged:", *(f"  {line}" for line in lines)]
        )

    def _enable_feature_flags(self) -> None:
        """Turn on every stable flag: a new node has them, data of an older version may lack stream_queue."""
        layout = self._opened()
        if not layout.has_run_with_this_version():
            if self._data_dir is not None:
                self.rabbitmqctl("enable_feature_flag", "all")
            layout.note_version()
