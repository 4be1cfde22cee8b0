"""Rules that somebody asks to have read again."""

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from worker.reload import RulesWatch
from worker.rules_file import load
from worker.telemetry.logs import get_log

RULES = "version: 1\nprocessors: {alpha: {}}\ndefault: {to: alpha}\n"
SOON = 10.0


async def test_whoever_asks_is_told_that_nothing_has_changed(tmp_path: Path) -> None:
    """One line, with the version that stays in force; a look that nobody asked for says nothing."""
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    loaded = load([file], [])
    watch = RulesWatch([file], [], loaded, log=get_log())
    with capture_logs() as logs:
        assert await watch._reload()
        assert not logs
        watching = asyncio.create_task(watch.run())
        watch.nudge.set()
        async with asyncio.timeout(SOON):
            while not logs:
                await asyncio.sleep(0.005)
        watching.cancel()
    assert logs == [{"event": "rules unchanged", "version": loaded.table.version, "log_level": "info"}]
