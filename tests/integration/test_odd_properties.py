"""Odd properties: whatever a producer's client writes around a body, the worker goes on and keeps it."""

import asyncio
import struct
from collections import Counter
from typing import Any

import pytest
from pamqp import commands

from tests.support.bodies import payment
from tests.support.producer import (
    CORRELATION_ID_FLAG,
    TIMESTAMP_FLAG,
    RawProperties,
    publish_raw,
    raw_headers,
)
from tests.support.stage import Stage, eventually


def long_string(content: bytes) -> bytes:
    """A long string as it stands in a header table."""
    return b"S" + struct.pack(">I", len(content)) + content


ODD = {
    "text-that-is-not-utf-8": raw_headers((b"note", long_string(b"caf\xe9"))),
    "byte-array": raw_headers((b"note", b"x" + struct.pack(">I", 3) + b"\x00\xff\xfe")),
    "double": raw_headers((b"ratio", b"d" + struct.pack(">d", 1e300))),
    "decimal": raw_headers((b"price", b"D" + struct.pack(">Bi", 2, -1234))),
    "wide-decimal": raw_headers((b"price", b"D" + struct.pack(">BI", 0, 0xFFFFFFFF))),
    "void": raw_headers((b"nothing", b"V")),
    "time-in-milliseconds": raw_headers((b"at", b"T" + struct.pack(">Q", 1_764_000_000_000))),
    "name-of-200-bytes": raw_headers((b"n" * 200, long_string(b"value"))),
    "name-twice": raw_headers((b"note", long_string(b"one")), (b"note", long_string(b"two"))),
    "60-KB": raw_headers((b"note", long_string(b"x" * 60_000))),
    "timestamp-in-milliseconds": RawProperties(TIMESTAMP_FLAG, struct.pack(">Q", 1_764_000_000_000)),
}

UNREADABLE = {
    "time-in-microseconds": raw_headers((b"at", b"T" + struct.pack(">Q", 1_764_000_000_000_000))),
    "name-that-is-not-utf-8": raw_headers((b"caf\xe9", long_string(b"value"))),
    "timestamp-at-its-largest": RawProperties(TIMESTAMP_FLAG, struct.pack(">Q", 2**64 - 1)),
    "correlation-id-not-utf-8": RawProperties(CORRELATION_ID_FLAG, b"\x04caf\xe9"),
}
"""What the client library cannot decode, so that it gives up the connection."""


@pytest.mark.parametrize("name", ODD)
async def test_good_payment_with_odd_properties_is_dispatched(stage: Stage, name: str) -> None:
    """What surrounds a good payment does not keep it, nor the one behind it, from its processor."""
    await asyncio.to_thread(publish_raw, stage.url, stage.prefix, payment("odd-1"), ODD[name])
    await stage.publish(payment("good-1"))
    async with stage.working() as worker:
        dispatches = await stage.dispatched("alpha", 2)
    assert sorted(one.json["payment_id"] for one in dispatches) == ["good-1", "odd-1"]
    assert worker.counts == Counter(dispatched=2)
    assert await stage.leftovers() == {}


@pytest.mark.parametrize("name", ODD)
async def test_bad_payment_with_odd_properties_is_dead_lettered(stage: Stage, name: str) -> None:
    """Odd properties are passed on, or dropped where AMQP cannot carry them, but the body arrives intact."""
    await asyncio.to_thread(publish_raw, stage.url, stage.prefix, b"{bad", ODD[name])
    await stage.publish(payment("good-1"))
    async with stage.working() as worker:
        [dead] = await stage.dead()
        await stage.dispatched()
    assert dead.body == b"{bad"
    assert dead.letter.error_code == "malformed_message"
    assert worker.counts == Counter(dispatched=1, dead_lettered=1)
    assert await stage.leftovers() == {}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_unreadable_properties_are_set_aside_and_payments_go_on(stage: Stage, name: str) -> None:
    """What no session survives does not end the worker: it is dispatched, dead or set aside, body intact."""
    await asyncio.to_thread(publish_raw, stage.url, stage.prefix, payment("odd-1"), UNREADABLE[name])
    places = (stage.inbox_of("alpha"), stage.names.dead, stage.names.crashed)

    async def arrived() -> bool:
        return any([await stage.depth(place) for place in places])

    async with stage.working():
        await eventually(arrived, "the odd payment somewhere")
        odd = [one for place in places for one in await stage.take(place, await stage.depth(place) or 0)]
        await stage.publish(payment("good-1"))
        [good] = await stage.dispatched()
    assert [payment("odd-1") in one.body or one.json["payment_id"] == "odd-1" for one in odd] == [True]
    assert good.json["payment_id"] == "good-1"
    assert await stage.leftovers() == {}


KEPT: dict[str, Any] = {
    "text": "blue",
    "empty": "",
    "umlaut": "Gr\u00fc\u00dfe",
    "yes": True,
    "small": 7,
    "large": 2**62,
    "negative": -1,
    "table": {"inner": {"deep": "value"}, "list": [1, "two", False]},
    "nothing": None,
}


async def test_producers_headers_and_properties_stand_in_the_dead_letter(stage: Stage) -> None:
    """A dead letter has every header and property of the producer, so that it can be sent again as it was."""
    await stage.publish(
        b"{bad", headers=KEPT, correlation_id="c-1", reply_to="answers", message_type="payment.v1",
        app_id="shop", priority=4,
    )  # fmt: skip
    async with stage.working():
        [dead] = await stage.dead()
    assert {name: dead.headers[name] for name in KEPT} == KEPT
    properties = dead.properties
    assert isinstance(properties, commands.Basic.Properties)
    assert (properties.correlation_id, properties.reply_to) == ("c-1", "answers")
    assert (properties.message_type, properties.app_id, properties.priority) == ("payment.v1", "shop", 4)


async def test_headers_that_the_worker_owns_cannot_be_forged(stage: Stage) -> None:
    """A producer's header under one of the worker's names does not stand in for what the worker found."""
    forged = {
        "payment-error-code": "all_is_well",
        "payment-error-message": "nothing to see",
        "payment-id": "someone-else",
        "payment-dead-at": "yesterday",
        "payment-first-seen": 7,
        "payment-exchange": "elsewhere",
    }
    await stage.publish(b"{bad", headers=forged)
    async with stage.working():
        [dead] = await stage.dead()
    letter = dead.letter
    assert (letter.error_code, letter.payment_id, letter.exchange) == (
        "malformed_message",
        None,
        stage.prefix,
    )
    assert not set(forged.values()) & set(dead.headers.values())


@pytest.mark.parametrize("attempt", [0, -1, "3", True, 1.5, None, 2**40])
async def test_attempt_number_that_the_worker_never_wrote_counts_as_the_first(
    stage: Stage, attempt: Any
) -> None:
    """A nonsensical attempt number neither stops the worker nor saves the payment an attempt."""
    await stage.publish(payment(), headers={"payment-attempt": attempt, "payment-attempts": "{"})
    async with stage.working():
        [dispatch] = await stage.dispatched()
    assert dispatch.headers["payment-attempt"] == 1
