"""Properties that kill aiormq's connection cost the tap lane one dead letter at most, and nobody else.

The standard lane cannot get past them alone, but it lets nobody else pay.
"""

import asyncio
import struct
from collections import Counter
from pathlib import Path

import pytest

from tests.support.bodies import payment
from tests.support.producer import TIMESTAMP_FLAG, RawProperties, publish_raw, raw_headers
from tests.support.stage import Stage, eventually, open_stage
from worker.local_broker import LocalBroker

MESSAGE_ID_FLAG = 1 << 7

NO_TEXT = RawProperties(MESSAGE_ID_FLAG, b"\x04caf\xe9")
NO_TIME = {
    "header": raw_headers((b"at", b"T" + struct.pack(">Q", 2**63))),
    "timestamp": RawProperties(TIMESTAMP_FLAG, struct.pack(">Q", 2**63)),
}


async def test_text_that_is_not_utf_8_is_a_dead_letter_in_the_same_session(stage: Stage) -> None:
    """A message id that nobody can read ends the message's way, its body as it came, and nothing else's."""
    await stage.publish(payment("before"))
    await asyncio.to_thread(publish_raw, stage.url, stage.prefix, payment("poison"), NO_TEXT)
    await stage.publish(payment("behind"))
    async with stage.working(lane="tap") as worker:
        [dead] = await stage.dead()
        dispatched = await stage.dispatched("alpha", 2)
    assert dead.body == payment("poison")
    assert dead.letter.error_code == "malformed_properties"
    assert sorted(one.json["payment_id"] for one in dispatched) == ["before", "behind"]
    assert worker.counts == Counter(dispatched=2, dead_lettered=1)
    assert await stage.leftovers() == {}


@pytest.mark.parametrize("name", NO_TIME)
async def test_a_time_beyond_every_calendar_harms_nothing(stage: Stage, name: str) -> None:
    """The tap lane reads times as numbers, so that a good payment with an absurd one is dispatched."""
    await asyncio.to_thread(publish_raw, stage.url, stage.prefix, payment("odd"), NO_TIME[name])
    await stage.publish(payment("behind"))
    async with stage.working(lane="tap") as worker:
        dispatched = await stage.dispatched("alpha", 2)
    assert sorted(one.json["payment_id"] for one in dispatched) == ["behind", "odd"]
    assert worker.counts == Counter(dispatched=2)
    assert await stage.leftovers() == {}


async def test_poison_on_the_standard_lane_costs_its_neighbours_nothing(
    broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    """Sessions end until the broker gives the poison up, to the queue of crashes and from there to the dead.

    Good payments beside it are dispatched, none more than a few times: twice may the full prefetch go back to
    the broker, and then each is taken alone.
    """
    async with open_stage(broker.url, prefix, tmp_path, delivery_limit=5) as stage:
        good = [f"before-{number}" for number in range(3)] + [f"behind-{number}" for number in range(3)]
        for name in good[:3]:
            await stage.publish(payment(name))
        await asyncio.to_thread(publish_raw, stage.url, stage.prefix, payment("poison"), NO_TEXT)
        for name in good[3:]:
            await stage.publish(payment(name))
        async with stage.working(lane="standard"):
            await eventually(lambda: is_dead(stage), "the poison among the dead letters")
            await stage.publish(payment("last"))
            times: Counter[str] = Counter()
            while times.keys() != {*good, "last"}:
                [one] = await stage.dispatched()
                times[one.json["payment_id"]] += 1
        assert max(times.values()) <= 3
        assert await stage.leftovers() == {stage.names.dead: 1}


async def is_dead(stage: Stage) -> bool:
    """Whether there is a dead letter; to take it would kill the test's own connection."""
    return bool(await stage.depth(stage.names.dead))
