"""Worker processes: start them, restart those that crash, pass signals on, and stop within the deadline.

The supervisor itself touches no payment. A child that ends with an error that a restart cannot mend
(configuration, a broken invariant) ends the whole worker; one that crashes is started again with a backoff,
and a crash loop is given up with its own exit code.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Final

from worker.amqp.connection import quiet_libraries
from worker.amqp.topology import Names
from worker.errors import ConfigurationError, InvalidRules, InvariantViolation
from worker.plugins.registry import Registry
from worker.reload import RulesWatch
from worker.rules_file import KeptRules, LoadedRules, load
from worker.session import Worker
from worker.settings import Settings, otel_exporter
from worker.telemetry.logs import configure_logs, get_log
from worker.telemetry.metrics import export_counts
from worker.telemetry.tracing import make_tracer

EXIT_NO_RULES: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_INVARIANT: Final = 3
EXIT_CRASH_LOOP: Final = 4
CRASHES_PER_MINUTE: Final = 10
"""One payment that kills its workers is dead after three or four."""
FLUSH_SECONDS: Final = 5.0
HURRY_SECONDS: Final = 1.0
"""How long a process that drains may still take once it is told to hurry."""
SWITCH_SECONDS: Final = 0.0002
"""How long the event loop and the journal's thread wait for one another, instead of Python's 5 ms.

A transaction lets the interpreter go and asks for it again at each statement, and payments wait for it.
"""
HURRY: Final = signal.SIGQUIT
"""What the supervisor sends its processes when it is told to stop a second time."""
HELD_AT_START: Final = frozenset({signal.SIGINT, signal.SIGHUP})
"""Signals that a process which has not come to its own handlers yet must not die of."""


def run_process(settings: Settings, loaded: LoadedRules, plugins: Registry) -> int:
    """Run one worker in this process until SIGTERM or SIGINT; return its exit code."""
    import uvloop

    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(settings, loaded, plugins))


async def _work(settings: Settings, loaded: LoadedRules, plugins: Registry) -> int:
    log = get_log(pid=os.getpid())
    tracer = make_tracer(otel_exporter("traces"), Names(settings.prefix).incoming)
    worker = Worker(settings, loaded.table, tracer, log)
    watch = RulesWatch(settings.rules, settings.overlays, loaded, worker.use, log, plugins)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, watch.nudge.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop.set)
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop.add_reader(parent.sentinel, worker.stop.set)  # the supervisor is gone: finish and go too
    end_metrics = export_counts(
        otel_exporter("metrics"), worker.counts, watch.results, lambda: worker.breakers.states
    )
    watching = asyncio.create_task(watch.run())
    working = asyncio.create_task(worker.run())
    loop.add_signal_handler(HURRY, lambda: loop.call_later(HURRY_SECONDS, working.cancel))
    try:
        await asyncio.wait({working})
        if working.cancelled() and working.cancelling():
            log.warning(
                "hurried: the broker delivers again what was not finished", counts=dict(worker.counts)
            )
        else:
            working.result()
    except ConfigurationError as error:
        log.error("worker cannot go on", code=error.code, reason=str(error))  # noqa: TRY400 - no bug of ours
        return EXIT_CONFIGURATION
    except InvariantViolation as error:
        log.critical("invariant violated", code=error.code, reason=str(error), exc_info=error)
        return EXIT_INVARIANT
    finally:
        watching.cancel()
        await _flush(end_metrics, tracer.shutdown)
    return 0


async def _flush(*ends: Callable[[], object]) -> None:
    """Export what is left, all at once and for at most a few seconds: the SDK's own timeouts do not hold."""
    threads = [threading.Thread(target=end, daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + FLUSH_SECONDS
    for thread in threads:
        await asyncio.to_thread(thread.join, max(0.0, deadline - time.monotonic()))


def _tune_collector() -> None:
    """Let the garbage collector leave alone what lives as long as the process, and look less often.

    A payment makes no reference cycles, so its objects go when the last name does; collections found nothing
    and cost a third of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _child(settings: Settings, kept: KeptRules) -> None:
    """What a spawned process runs. It reads the rules itself, or takes the last good ones if it cannot."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the supervisor decides
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are rules to read again
    signal.signal(HURRY, signal.SIG_IGN)  # until there is something to finish
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_AT_START)
    configure_logs(settings.log_level, settings.log_format)
    quiet_libraries()
    plugins = Registry.of(settings.plugins)
    try:
        loaded = load(settings.rules, settings.overlays, catalogue=plugins)
    except InvalidRules as error:
        get_log(pid=os.getpid()).error("rules not read: the last good ones are in force", reason=str(error))
        loaded = _restored(kept, plugins)
    _tune_collector()
    sys.exit(run_process(settings, loaded, plugins))


def _restored(kept: KeptRules, plugins: Registry) -> LoadedRules:
    """Return the last good rules, or end the process when a plugin of theirs is not ready now."""
    try:
        return kept.restore(plugins)
    except InvalidRules as error:
        get_log(pid=os.getpid()).error("no rules are in force", reason=str(error))
        sys.exit(EXIT_NO_RULES)


@dataclass(slots=True)
class Supervisor:
    """Keeps ``settings.processes`` workers running until it is told to stop.

    ``rules`` follows the rule files, so that a process started later can have the last good ones.
    """

    settings: Settings
    rules: RulesWatch
    children: list[SpawnProcess] = field(default_factory=list)
    _crashes: deque[float] = field(default_factory=lambda: deque(maxlen=CRASHES_PER_MINUTE))

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT and return the exit code; 0 when every worker drained in time."""
        log = get_log(pid=os.getpid())
        stop = asyncio.Event()

        def told_to_stop() -> None:
            if stop.is_set():
                log.warning("told to stop again", seconds_left=HURRY_SECONDS)
                self._pass_on(HURRY)
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        watching = asyncio.create_task(self.rules.run())
        self.children = [self._start() for _ in range(self.settings.processes)]
        code = 0
        while not stop.is_set() and code == 0:
            ended = await self._next_end(stop)
            for child in ended:
                log.error("worker process ended", child=child.pid, exit_code=child.exitcode)
                code = self._fatal(child)
                if code:
                    break
                await self._backoff(stop)
                if not stop.is_set():
                    self.children[self.children.index(child)] = self._start()
        watching.cancel()
        return max(code, await self._stop_all())

    def _start(self) -> SpawnProcess:
        child = multiprocessing.get_context("spawn").Process(
            target=_child, args=(self.settings, self.rules.loaded.keep()), name="payment-worker"
        )
        resource_tracker.ensure_running()  # else start() starts it, and that lets SIGINT through again
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_AT_START)  # the child inherits it while it imports
        try:
            child.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_AT_START)
        return child

    def _fatal(self, child: SpawnProcess) -> int:
        """Return the exit code when a restart would not help."""
        if child.exitcode in (EXIT_CONFIGURATION, EXIT_INVARIANT):
            return child.exitcode
        now = time.monotonic()
        self._crashes.append(now)
        if len(self._crashes) == CRASHES_PER_MINUTE and now - self._crashes[0] < 60:
            get_log().critical("crash loop: given up", crashes=CRASHES_PER_MINUTE, within_seconds=60)
            return EXIT_CRASH_LOOP
        return 0

    async def _backoff(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(0.1 * 2 ** len(self._crashes), 5.0)):
                await stop.wait()

    async def _next_end(self, stop: asyncio.Event) -> list[SpawnProcess]:
        """Wait until a child ends or ``stop`` is set."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        sentinels = [child.sentinel for child in self.children]
        for sentinel in sentinels:
            loop.add_reader(sentinel, woken.set)
        waits = [asyncio.create_task(event.wait()) for event in (woken, stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            for sentinel in sentinels:
                loop.remove_reader(sentinel)
        return [child for child in self.children if child.exitcode is not None]

    def _pass_on(self, number: signal.Signals) -> None:
        """Send a signal to every child that runs."""
        for child in self.children:
            if child.exitcode is None and child.pid is not None:
                os.kill(child.pid, number)

    async def _stop_all(self) -> int:
        """Ask every child to drain; kill those that outstay the deadline by far."""
        running = [child for child in self.children if child.exitcode is None]
        self._pass_on(signal.SIGTERM)
        deadline = time.monotonic() + self.settings.drain_timeout + FLUSH_SECONDS + 5
        codes = []
        for child in running:
            await asyncio.to_thread(child.join, max(0.0, deadline - time.monotonic()))
            if child.exitcode is None:
                get_log().error("worker process killed: it did not drain in time", child=child.pid)
                child.kill()
                await asyncio.to_thread(child.join)
            # Ended by SIGTERM itself: it was still starting, held no payment, and has nothing to drain.
            codes.append(0 if child.exitcode == -signal.SIGTERM else abs(child.exitcode or 0))
        return max(codes, default=0)
