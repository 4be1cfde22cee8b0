"""Properties that kill aiormq's connection cost the tap lane one dead letter at most, and nobody else."""

import asyncio
import struct
from collections import Counter

import pytest

from tests.support.bodies import payment
from tests.support.producer import TIMESTAMP_FLAG, RawProperties, publish_raw, raw_headers
from tests.support.stage import Stage

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
