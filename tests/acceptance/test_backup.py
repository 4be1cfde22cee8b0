"""A journal is backed up at load and restored: what it has forgotten comes again, and is the same."""

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.support.bodies import RULES, payment
from tests.support.command import run_command, running_worker, wait_until
from tests.support.stage import Stage, open_stage
from worker.local_broker import LocalBroker

COUNT = 600


async def publish(stage: Stage, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        await stage.publish(body)


async def test_a_backup_taken_at_load_can_be_gone_back_to(
    broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    """After a restore all is published again: what was after the backup is dispatched again, byte by byte."""
    journal, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    where = {"PAYMENT_WORKER_JOURNAL": f"sqlite:///{journal}"}
    async with open_stage(broker.url, prefix, tmp_path, RULES) as stage:
        arguments = ("--amqp-url", broker.url, "--rules", str(stage.rules), "--prefix", prefix)
        bodies = [payment(f"pay-{number}") for number in range(COUNT)]
        await publish(stage, bodies[:200])
        with running_worker(tmp_path / "first.log", *arguments, env=where) as worker:
            first = await stage.dispatched(count=20)  # it is at work
            backed_up, _ = await asyncio.gather(
                asyncio.to_thread(run_command, "journal", "backup", str(copy), env=where),
                publish(stage, bodies[200:500]),
            )
            assert backed_up.returncode == 0, backed_up.stderr
            await publish(stage, bodies[500:])
            first += await stage.dispatched(count=COUNT - 20)
            worker.process.terminate()
            await asyncio.to_thread(wait_until, lambda: worker.process.poll() is not None, "the end")
        for suffix in ("-wal", "-shm"):
            journal.with_name(journal.name + suffix).unlink(missing_ok=True)
        shutil.copy(copy, journal)
        await publish(stage, bodies)
        with running_worker(tmp_path / "second.log", *arguments, env=where):
            await stage.waits_in(stage.names.incoming, 0)
            known = json.loads(run_command("journal", "status", "--json", env=where).stdout)["payments"]
            assert known == COUNT
        again = await stage.take(stage.inbox_of("alpha"), await stage.depth(stage.inbox_of("alpha")))
    sent = defaultdict(list)
    for one in (*first, *again):
        sent[one.json["payment_id"]].append(one.body)
    assert COUNT - 500 <= len(again) < COUNT
    assert all(len(set(copies)) == 1 and len(copies) <= 2 for copies in sent.values())


def test_a_backup_takes_no_other_files_place(tmp_path: Path) -> None:
    """Nor is one made of a journal that is not there."""
    where = {"PAYMENT_WORKER_JOURNAL": f"sqlite:///{tmp_path / 'journal.db'}"}
    missing = run_command("journal", "backup", str(tmp_path / "copy.db"), env=where)
    assert missing.returncode == 2
    assert "there is no journal" in missing.stderr
    run_command("journal", "migrate", env=where)
    assert run_command("journal", "backup", str(tmp_path / "copy.db"), env=where).returncode == 0
    again = run_command("journal", "backup", str(tmp_path / "copy.db"), env=where)
    assert again.returncode == 2
    assert "exists already" in again.stderr
