"""Poison: a payment that kills its worker is set aside, taken alone, and dead; nobody else pays for it."""

import json
from typing import Literal

import pytest

from tests.support.bench import Bench
from tests.support.fault_points import Poison
from tests.support.load import Sent
from tests.support.stage import eventually

NEIGHBOURS = 60
MARK = b"kills its worker"


def poison_among(load: list[Sent], place: int) -> Sent:
    """Make one payment of a load deadly."""
    one = load[place]
    one.body = json.dumps({**json.loads(one.body), "note": MARK.decode()}).encode()
    one.code = "crashed"
    return one


async def run_until_well(bench: Bench, poison: Poison, most: int) -> int:
    """Start one worker after another, as the supervisor does, until one lives; return how many died."""
    for deaths in range(most + 1):
        worker = bench.start(poison)

        async def decided() -> bool:
            await bench.collect()
            return worker.exit_code is not None or not bench.ledger.missing(bench.load.sent)  # noqa: B023

        await eventually(decided, "the worker's end, or that of its work")
        if worker.exit_code is None:
            return deaths
        assert worker.exit_code == -9, worker.log
    raise AssertionError(f"more than {most} workers died of it")


@pytest.mark.parametrize(("step", "deaths"), [("plan", 3), ("decode", 4)])
@pytest.mark.parametrize("place", [0, NEIGHBOURS - 1])
async def test_poison_kills_a_few_workers_and_nobody_elses_payment(
    bench: Bench, step: Literal["decode", "plan"], deaths: int, place: int
) -> None:
    """Twice in the queue of work and once alone; that once more when it kills by being read."""
    load = bench.load.make(NEIGHBOURS, "card", "wallet", "voucher")
    poison = poison_among(load, place)
    await bench.load.publish(load)
    assert await run_until_well(bench, Poison(MARK, step), deaths) == deaths
    await bench.drained()
    [letter] = bench.ledger.dead[poison.body]
    assert letter.letter.error_code == "crashed"


async def test_poison_in_a_message_of_many_costs_one_payment(bench: Bench) -> None:
    """The message is set aside line by line: its other payments are dispatched, and one is dead."""
    bench.load.lines = NEIGHBOURS // 3
    load = bench.load.make(NEIGHBOURS, "card", "wallet", "voucher")
    poison = poison_among(load, NEIGHBOURS // 2)
    await bench.load.publish(load)
    assert await run_until_well(bench, Poison(MARK, "plan"), 3) == 3
    await bench.drained()
    [letter] = bench.ledger.dead[poison.body]
    assert letter.letter.error_code == "crashed"
    assert letter.letter.line == NEIGHBOURS // 6 + 1


async def test_two_poisons_at_once(bench: Bench) -> None:
    """The second is set aside with the first's neighbours, and so dies alone."""
    load = bench.load.make(NEIGHBOURS, "card", "wallet")
    poison_among(load, 3)
    poison_among(load, 4)
    await bench.load.publish(load)
    assert await run_until_well(bench, Poison(MARK, "plan"), 5) <= 5
    await bench.drained()
