"""Row 10: every bad input there is, over crashes; and mutated payments by the hundred thousand.

A failure of the fuzzing names the seed of its batch; `--fault-seed` repeats the run from its beginning.
"""

import json
import random
import time
from fractions import Fraction
from typing import Any

from tests.faults.conftest import Scale
from tests.support.bad_bodies import BODIES
from tests.support.bench import Bench
from tests.support.fault_points import Crash
from tests.support.load import Sent
from tests.support.memory_stage import MemoryStage
from tests.support.mutations import mutated
from worker.errors import InternalError

BATCH = 200
OUR_FAULT = {InternalError.code, "not_conserved", "invariant_violation"}


async def test_every_bad_input_among_good_ones_survives_crashes(bench: Bench) -> None:
    """Each is a dead letter with its own code, intact, however often its worker dies; good ones pass."""
    bad = [
        Sent(f"bad-{name}", body.replace(b'"pay-1"', f'"bad-{name}"'.encode()), "card.eur", code=code)
        for name, (body, code) in BODIES.items()
    ]
    mixed = bad + bench.load.make(len(bad), "card", "wallet", "voucher")
    bench.chance.shuffle(mixed)
    await bench.load.publish(mixed)
    for step in ("decode", "record"):
        worker = bench.start(Crash(step, "before", call=3), max_batch=10)
        assert await worker.ended() == -9
        await bench.safe()
    await bench.drained()


async def test_mutated_payments_end_in_one_place(chance: random.Random, scale: Scale) -> None:
    """Whatever comes is dispatched whole, with money that adds up, or is dead with a reason of its own."""
    deadline = time.monotonic() + scale(3, 300)
    seed, dispatched, dead = chance.randrange(2**32), 0, 0
    while time.monotonic() < deadline:
        try:
            passed = await work_off(random.Random(seed))  # noqa: S311 - not for secrets
        except Exception as error:
            raise AssertionError(f"the batch of seed {seed}: {error!r}") from error
        dispatched += passed
        dead += BATCH - passed
        seed += 1
    assert min(dispatched, dead) > (dispatched + dead) // 10, "the mutations break hardly anything, or all"


async def work_off(chance: random.Random) -> int:
    """Let a worker have a batch; return how many of it were dispatched."""
    stage = MemoryStage()
    bodies = [mutated(chance, number) for number in range(BATCH)]
    for body in bodies:
        stage.put(body, content_type="application/json")
    await stage.drain(BATCH)
    left = sorted(bodies)
    for letter in stage.queue("dead"):
        assert letter.properties.headers["payment-error-code"] not in OUR_FAULT, letter.body
        left.remove(letter.body)
    processors = [*stage.queue("alpha"), *stage.queue("beta")]
    assert len(left) == len(processors)
    for dispatch in processors:
        left.remove(check_dispatch(dispatch.body, left))
    return len(processors)


def check_dispatch(body: bytes, published: list[bytes]) -> bytes:
    """Return the payment that a dispatch is of, having read both with another parser."""
    dispatch = read_strictly(body)
    fees = sum(Fraction(fee["amount"]["value"]) for fee in dispatch["fees"])
    assert Fraction(dispatch["gross"]["value"]) == Fraction(dispatch["net"]["value"]) + fees, body
    assert Fraction(dispatch["gross"]["value"]) == Fraction(dispatch["amount"]["value"]) > 0, body
    one = next(one for one in published if body.endswith(b"," + one.strip()[1:]))
    payment = read_strictly(one)
    assert {name: dispatch[name] for name in payment} == payment
    return one


def read_strictly(body: bytes) -> dict[str, Any]:
    """Read JSON with Python's own parser, refusing what is read differently elsewhere."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), f"a key stands twice: {body!r}"
        return dict(pairs)

    def constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON: {body!r}")

    document: dict[str, Any] = json.loads(body.decode(), object_pairs_hook=unique, parse_constant=constant)
    return document
