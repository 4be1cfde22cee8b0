"""Dead letters as operators deal with them, with a real worker on both lanes: send back, bound, refuse."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bodies import payment
from tests.support.command import run_command
from tests.support.stage import Stage, eventually, open_stage
from worker import next_step
from worker.dead_letters.actions import DISPATCHED
from worker.local_broker import LocalBroker

THREE_ATTEMPTS = [1, 2, 3]


@pytest.fixture(params=["tap", "standard"])
async def stage(
    broker: LocalBroker, prefix: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    """A stage whose workers run on each lane."""
    async with open_stage(broker.url, prefix, tmp_path, lane=request.param) as opened:
        yield opened


@pytest.fixture
async def tap_stage(broker: LocalBroker, prefix: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage where the lane makes no difference."""
    async with open_stage(broker.url, prefix, tmp_path) as opened:
        yield opened


async def dead_letters(stage: Stage, *arguments: str) -> tuple[int, str, str]:
    """Run a dead-letter command: exit code, stdout, stderr."""
    options = ["--amqp-url", stage.url, "--prefix", stage.prefix]
    if arguments[0] == "redrive" and "--journal" not in arguments:
        options += ["--journal", stage.settings.journal.get_secret_value()]
    done = await asyncio.to_thread(run_command, "dead-letters", *arguments, *options)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


async def result(stage: Stage, *arguments: str) -> dict[str, Any]:
    """Run a dead-letter command that succeeds, for its result as JSON."""
    code, out, err = await dead_letters(stage, *arguments, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def counted(rows: list[dict[str, Any]]) -> int:
    return sum(row["dead_letters"] for row in rows)


async def die_of_no_taker(stage: Stage, *ids: str) -> None:
    """Let payments die after every attempt found nobody bound."""
    await stage.unbind("alpha")
    for payment_id in ids:
        await stage.publish(payment(payment_id), message_id=f"m-{payment_id}", headers={"tenant": "blue"})
    async with stage.working():
        await stage.waits_in(stage.names.dead, len(ids))


async def test_redriven_payment_is_dispatched_once_its_cause_is_mended(stage: Stage) -> None:
    """It starts at attempt 1 of the route, byte for byte, and nothing is left behind."""
    await die_of_no_taker(stage, "pay-1", "pay-2")
    await stage.bind("alpha")
    done = await result(stage, "redrive", "--payment-id", "pay-1", "--yes")
    assert (counted(done["done"]), done["looked_at"], done["dry_run"]) == (1, 2, False)
    async with stage.working() as worker:
        [dispatch] = await stage.dispatched()
    assert dispatch.json["payment_id"] == "pay-1"
    assert {name: dispatch.json[name] for name in json.loads(payment())} == json.loads(payment())
    assert dispatch.headers["payment-attempt"] == 1
    assert worker.counts == Counter(dispatched=1)
    assert await stage.leftovers() == {stage.names.dead: 1}
    [rest] = await stage.dead()
    assert rest.letter.payment_id == "pay-2"


async def test_payment_that_dies_again_has_both_lives_in_its_history(stage: Stage) -> None:
    """Attempts count from 1 again and are added; the redrive is counted, and then refused at its bound."""
    await die_of_no_taker(stage, "pay-1")
    await result(stage, "redrive", "--yes")
    async with stage.working():
        await stage.waits_in(stage.names.dead, 1)
    refused = await result(stage, "redrive", "--yes", "--max-redrives", "1")
    assert (refused["done"], list(refused["left"])) == ([], ["redriven 1 times already"])
    [dead] = await stage.dead()
    letter = dead.letter
    assert [attempt.attempt for attempt in dead.attempts] == THREE_ATTEMPTS * 2
    assert (letter.attempt, letter.redrives, letter.error_code) == (3, 1, "retries_exhausted")
    assert letter.error_message.count("unroutable") == 3
    assert (letter.exchange, letter.routing_key, letter.message_id) == (stage.prefix, "card.eur", "m-pay-1")
    assert letter.first_seen == dead.attempts[0].at
    assert dead.headers["tenant"] == "blue"
    assert dead.body == payment("pay-1")


async def test_count_of_redrives_cannot_be_forged(stage: Stage) -> None:
    """A producer that writes the worker's own headers has no past, and its payment can be redriven."""
    forged = {"attempt": 3, "redrives": 9, "attempts": "[]", "pinned": "beta"}
    headers = {f"payment-{name}": value for name, value in forged.items()}
    await stage.publish(payment(value="0"), headers=headers)
    async with stage.working():
        await stage.waits_in(stage.names.dead, 1)
    assert counted((await result(stage, "redrive"))["done"]) == 1
    [dead] = await stage.dead()
    assert (dead.letter.redrives, dead.letter.attempt, dead.letter.pinned) == (None, 1, None)


async def test_dry_run_changes_nothing(tap_stage: Stage) -> None:
    """Without --yes it says what would go, and every letter is where it was."""
    await die_of_no_taker(tap_stage, "pay-1", "pay-2")
    code, out, err = await dead_letters(tap_stage, "redrive")
    assert (code, err) == (0, "")
    assert "dry run: 2 of 2 dead letters would be redriven" in out
    assert "bind the processor" not in out
    assert await tap_stage.leftovers() == {tap_stage.names.dead: 2}


async def test_payment_that_was_dispatched_meanwhile_stays(tap_stage: Stage) -> None:
    """A letter that a killed redrive left behind, although its copy went, is refused by the journal."""
    names = tap_stage.names
    await die_of_no_taker(tap_stage, "pay-1", "pay-2")
    await tap_stage.bind("alpha")
    left = await tap_stage.channel.basic_get(names.dead)  # in nobody's sight
    properties = left.header.properties
    mine = str((properties.headers or {})["payment-id"])
    await tap_stage.channel.basic_publish(
        left.body, exchange=names.dead, routing_key="x", properties=properties
    )
    assert counted((await result(tap_stage, "redrive", "--payment-id", mine, "--yes"))["done"]) == 1
    async with tap_stage.working():
        await tap_stage.dispatched()
    await tap_stage.channel.basic_nack(left.delivery_tag)
    await tap_stage.waits_in(names.dead, 2)
    done = await result(tap_stage, "redrive", "--yes")
    assert counted(done["done"]) == 1
    assert {reason: counted(rows) for reason, rows in done["left"].items()} == {DISPATCHED: 1}
    async with tap_stage.working():
        [other] = await tap_stage.dispatched()
    assert {mine, other.json["payment_id"]} == {"pay-1", "pay-2"}
    assert await tap_stage.leftovers() == {names.dead: 1}


async def test_without_a_journal_the_command_says_what_it_cannot_see(tap_stage: Stage) -> None:
    """One line on stderr; the redrive goes on."""
    await die_of_no_taker(tap_stage, "pay-1")
    for journal, said in (
        ("none", "no journal: nobody knows"),
        ("sqlite:///nowhere.db", "the workers will notice"),
    ):
        code, out, err = await dead_letters(tap_stage, "redrive", "--journal", journal)
        assert (code, "1 of 1" in out, said in err) == (0, True, True)


async def test_rate_is_kept(tap_stage: Stage) -> None:
    """At 4 a second, 6 letters take more than a second."""
    await die_of_no_taker(tap_stage, *(f"pay-{n}" for n in range(6)))
    started = time.monotonic()
    await result(tap_stage, "redrive", "--yes", "--rate", "4")
    assert time.monotonic() - started >= 1.25
    assert await tap_stage.leftovers() == {tap_stage.names.incoming: 6}


async def test_full_queue_of_work_keeps_the_rest_dead(tap_stage: Stage, broker: LocalBroker) -> None:
    """The broker refuses: the command stops and says so, no letter is lost, and the next run goes on."""
    names = tap_stage.names
    await die_of_no_taker(tap_stage, *(f"pay-{n}" for n in range(12)))
    limit = ("--apply-to", "queues", tap_stage.prefix, f"^{names.incoming}$", '{"max-length": 4}')
    await asyncio.to_thread(broker.rabbitmqctl, "set_policy", *limit)
    code, _, err = await dead_letters(tap_stage, "redrive", "--yes", "--rate", "8")
    assert code == 1
    assert f"{names.incoming} takes nothing more" in err
    left = await tap_stage.leftovers()
    assert sum(depth or 0 for depth in left.values()) == 12
    assert 4 <= (left[names.incoming] or 0) < 12
    await asyncio.to_thread(broker.rabbitmqctl, "clear_policy", tap_stage.prefix)
    await result(tap_stage, "redrive", "--yes", "--rate", "0")
    await tap_stage.bind("alpha")
    async with tap_stage.working():
        dispatched = await tap_stage.dispatched(count=12)
    assert {one.json["payment_id"] for one in dispatched} == {f"pay-{n}" for n in range(12)}
    assert await tap_stage.leftovers() == {}


async def test_nothing_bound_to_the_return_exchange_keeps_all_dead(tap_stage: Stage) -> None:
    """A return is a refusal too: every letter stays."""
    names = tap_stage.names
    await die_of_no_taker(tap_stage, "pay-1", "pay-2")
    await tap_stage.channel.queue_unbind(names.incoming, names.returns, names.incoming)
    code, _, err = await dead_letters(tap_stage, "redrive", "--yes")
    assert (code, "NO_ROUTE" in err) == (1, True)
    assert await tap_stage.leftovers() == {names.dead: 2}


async def test_redrive_among_living_workers_ends(stage: Stage) -> None:
    """What dies again while the command runs comes behind what it looks at, and is not sent on and on."""
    await stage.unbind("alpha")
    for number in range(150):
        await stage.publish(payment(f"bad-{number}", value="0"))
    async with stage.working() as worker:
        await stage.waits_in(stage.names.dead, 150)
        done = await result(stage, "redrive", "--yes", "--rate", "0")

        async def all_dead_again() -> bool:
            return worker.counts["dead_lettered"] == 300

        await eventually(all_dead_again, "150 letters dead again")
    assert counted(done["done"]) == 150
    redrives = [letter.letter.redrives for letter in await stage.dead(150)]
    assert redrives == [1] * 150


async def test_full_dead_letter_queue_holds_payments_back_without_a_hot_loop(
    stage: Stage, broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad payments stay in the broker while their queue is full, are tried now and then, and drain."""
    monkeypatch.setattr(next_step, "HELD_BACK_SECONDS", (0.25, 1.0))
    names, bad, prefetch = stage.names, 60, 20
    limit = ("--apply-to", "queues", stage.prefix, f"^{names.dead}$", '{"max-length": 5}')
    await asyncio.to_thread(broker.rabbitmqctl, "set_policy", *limit)
    for number in range(bad):
        await stage.publish(payment(f"bad-{number}", value="0"))
    async with stage.working(prefetch=prefetch) as worker:

        async def is_full() -> bool:
            dead, waiting = await stage.depth(names.dead) or 0, await stage.depth(names.incoming) or 0
            held = bad - dead - waiting
            return dead == worker.counts["dead_lettered"] >= 5 and prefetch - 1 <= held <= prefetch

        await eventually(is_full, "a full dead-letter queue and no more payments taken than the prefetch")
        full, publishes = worker.counts["dead_lettered"], Counter[str]()
        pipeline = worker._consumers[0]._pipeline
        assert pipeline is not None
        lane = pipeline.lane
        send = lane.send

        async def counting(batch: Any) -> Any:
            publishes["all"] += len(batch)
            return await send(batch)

        monkeypatch.setattr(lane, "send", counting)
        await asyncio.sleep(4)
        assert worker.counts["dead_lettered"] == full
        assert await is_full()
        assert 0 < publishes["all"] <= prefetch * 8
        letters = await stage.take(names.dead, bad, within_seconds=90)
    ids = [letter.letter.payment_id for letter in letters]
    assert sorted(map(str, ids)) == sorted(f"bad-{number}" for number in range(bad))
    assert worker.counts == Counter(dead_lettered=bad)
    assert await stage.leftovers() == {}
