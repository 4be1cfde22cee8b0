"""Row 11: rules are broken, and mended, in mid-load."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.bench import Bench
from tests.support.stage import eventually


def write(rules: Path, text: str) -> None:
    """Put another text in the place of the rules, all at once."""
    new = rules.with_suffix(".new")
    new.write_text(text)
    new.replace(rules)


def versions(bench: Bench) -> set[str]:
    """By which versions of the rules payments were dispatched."""
    bodies = [message.body for found in bench.ledger.dispatched.values() for _, message in found]
    return {json.loads(body)["rules_version"] for body in bodies}


async def test_broken_rules_change_nothing_and_mended_ones_do(bench: Bench) -> None:
    """While the file is broken payments go by the old rules, whole; once it is mended, by the new ones."""
    good = bench.rules.read_text()
    worker = bench.start()
    async with bench.load.streaming(per_second=200):
        await bench.arrives(50)
        for number, broken in enumerate((good.replace("route:", "rout:", 1), "{", ""), start=1):
            write(bench.rules, broken)
            worker.send_signal(signal.SIGHUP)
            await worker.says(
                lambda log, n=number: log.count("rules not reloaded") >= n, "that they are broken"
            )
        await bench.arrives(len(bench.load.sent) + 50)
        assert len(versions(bench)) == 1
        write(bench.rules, good.replace('"2.9"', '"3.1"'))
        worker.send_signal(signal.SIGHUP)
        await worker.says(lambda log: "rules reloaded" in log, "that they are in force")
        await bench.arrives(len(bench.load.sent) + 50)
    await bench.drained(repeats=False)
    assert len(versions(bench)) == 2


@pytest.mark.whole
async def test_a_worker_that_dies_over_broken_rules_comes_back_with_the_last_good_ones(bench: Bench) -> None:
    """The supervisor keeps the rules that were good, and a process that it starts works by them."""
    good = bench.rules.read_text()
    with bench.command() as worker:
        async with bench.load.streaming(per_second=200):
            await bench.arrives(50)
            write(bench.rules, "version: 0")
            os.kill(worker.children[0], signal.SIGKILL)

            async def back() -> bool:
                return worker.log.count("session started") == 2

            await eventually(back, "another process")
            await bench.arrives(len(bench.load.sent) + 50)
        assert "the last good ones are in force" in worker.log
        write(bench.rules, good)
        code, _ = worker.terminate()
        assert code == 0
    await bench.drained()
    assert len(versions(bench)) == 1
