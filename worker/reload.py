"""Rules that change while the worker runs: noticed, compiled aside, swapped between batches as one.

A change is noticed by looking at the files once a second, or at once on SIGHUP. Rules that do not compile are
not taken: the old ones stay, the log says what is wrong by file and line, and the reload counts as failed.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from worker.errors import InternalError, TransientError, WorkerError
from worker.plugins.outcome import Failed
from worker.plugins.threads import Threads
from worker.routing import Catalogue, Problem, RuleTable
from worker.routing.lint import Severity, lint
from worker.routing.source import locate
from worker.rules_file import NO_PLUGINS, LoadedRules, load
from worker.telemetry.logs import Log

LOOK_SECONDS: Final = 1.0
MAX_LINTED_RULES: Final = 1000  # larger tables take many seconds, in which the worker would be slower

Signature: TypeAlias = tuple[tuple[str, int, int, int], ...]


@dataclass(slots=True)
class RulesWatch:
    """Watches the files of the rules in force; hands new tables to ``apply``, in silence without a log."""

    paths: Sequence[Path]
    overlays: Sequence[Path]
    loaded: LoadedRules
    apply: Callable[[RuleTable], Awaitable[None]] | None = None
    log: Log | None = None
    catalogue: Catalogue = NO_PLUGINS
    results: Counter[str] = field(default_factory=Counter)
    """Reloads by result: ``done``, or the code of what was wrong."""
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    _threads: Threads = field(default_factory=lambda: Threads("rules"))

    async def run(self) -> None:
        """Look for changes until cancelled."""
        seen: Signature | None = self._signature()
        while True:
            nudged = await self._next_look()
            signature = self._signature()
            if nudged or signature != seen:
                seen = signature if await self._reload(nudged=nudged) else None

    async def _next_look(self) -> bool:
        """Wait for the next look; True when SIGHUP asked for it."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self.nudge.wait()
        except TimeoutError:
            return False
        self.nudge.clear()
        return True

    async def _reload(self, *, nudged: bool = False) -> bool:
        """Compile the files as they are now and put the table in force, or say why not.

        Returns False when it is worth another try although the files have not changed.
        """
        before = self.loaded.table.version
        try:
            loaded, warnings = await self._prepared()
            if loaded.table.version == before:
                self._report_unchanged(before, nudged=nudged)
                return True
            if self.apply is not None:
                await self.apply(loaded.table)
        except WorkerError as error:
            self.results[error.code] += 1
            if self.log is not None:
                self.log.error(  # noqa: TRY400 - the text says it all
                    "rules not reloaded: the old ones stay",
                    code=error.code,
                    reason=str(error),
                    version=before,
                )
            return not isinstance(error, TransientError)
        except Exception:
            self.results[InternalError.code] += 1
            if self.log is not None:
                self.log.exception("rules not reloaded, by a bug of ours: the old ones stay", version=before)
            return True
        self.loaded = loaded
        for warning in warnings:
            if self.log is not None:
                self.log.warning("rules warn", version=loaded.table.version, warning=warning)
        self.results["done"] += 1
        if self.log is not None:
            self.log.info("rules reloaded", before=before, version=loaded.table.version)
        return True

    def _report_unchanged(self, version: str, *, nudged: bool) -> None:
        if nudged and self.log is not None:  # whoever asked waits for an answer
            self.log.info("rules unchanged", version=version)

    async def _prepared(self) -> tuple[LoadedRules, list[str]]:
        """Prepare in a thread that nobody waits for when the worker stops: plugins are made in it."""
        outcome = await self._threads.call(self._prepare, (), None)
        if isinstance(outcome, Failed):
            raise outcome.error
        prepared: tuple[LoadedRules, list[str]] = outcome.value
        return prepared

    def _prepare(self) -> tuple[LoadedRules, list[str]]:
        """Read, compile and lint the files as they are now; return what `rules check` would warn of, too."""
        loaded = load(self.paths, self.overlays, self.catalogue)
        if self.log is None or len(loaded.table.rules) > MAX_LINTED_RULES:
            return loaded, []
        found = [one for one in lint(loaded.table) if one.severity is Severity.WARNING]
        marks = [locate(loaded.root, Problem(one.path, one.message)) for one in found]
        return loaded, [
            f"{mark.file.name}:{mark.line + 1}:{mark.column + 1}: {one.message}"
            for mark, one in zip(marks, found, strict=True)
        ]

    def _signature(self) -> Signature:
        """Return what tells one state of the files from another."""
        files = {str(file) for file in self.loaded.files}
        for path in self.paths:
            files |= {str(file) for file in path.glob("*.yaml")} if path.is_dir() else {str(path)}
        marks = []
        for file in sorted(files):
            try:
                stat = Path(file).stat()
                marks.append((file, stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                marks.append((file, 0, 0, 0))
        return tuple(marks)
