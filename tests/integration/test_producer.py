"""The producer that applications import, against a real broker, as docs/producer.md shows it."""

import asyncio
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from schemas.payment import Payment
from tests.support.bodies import payment, payment_fields
from tests.support.proxy import proxy_to
from tests.support.stage import Stage, eventually
from worker.errors import AccessRefused, PaymentsUnconfirmed, TopologyMismatch
from worker.local_broker import LocalBroker
from worker.producer import AnyPayment, open_producer

PAGE = (Path(__file__).parents[2] / "docs" / "producer.md").read_text(encoding="utf-8")


async def test_payments_of_every_kind_are_confirmed(stage: Stage) -> None:
    """Objects, mappings and bytes arrive as JSON, each under its own routing key and message id."""
    given: list[AnyPayment] = [
        Payment.model_validate_json(payment("pay-1")),
        payment_fields("pay-2", currency="USD"),
        b"{bad",
    ]
    async with open_producer(stage.url, exchange=stage.prefix) as producer:
        assert await producer.publish(given) == 3
    taken = await stage.take(stage.names.incoming, 3)
    assert [one.routing_key for one in taken] == ["card.eur", "card.usd", "unknown.unknown"]
    assert [orjson.loads(one.body)["payment_id"] for one in taken[:2]] == ["pay-1", "pay-2"]
    assert taken[2].body == b"{bad"
    assert {(one.properties.content_type, one.properties.delivery_mode) for one in taken} == {
        ("application/json", 2)
    }
    assert len({one.properties.message_id for one in taken}) == 3


async def test_batches_are_ndjson(stage: Stage) -> None:
    """So many payments a message, the rest in one more."""
    bodies = [payment(f"pay-{number}") for number in range(7)]
    async with open_producer(stage.url, exchange=stage.prefix, batch=3) as producer:
        assert await producer.publish(bodies) == 7
    taken = await stage.take(stage.names.incoming, 3)
    assert [one.body.splitlines() for one in taken] == [bodies[:3], bodies[3:6], bodies[6:]]
    kinds = [one.properties.content_type for one in taken]
    assert kinds == ["application/x-ndjson", "application/x-ndjson", "application/json"]


async def test_the_current_trace_travels_along(stage: Stage) -> None:
    """``traceparent`` and ``tracestate`` are those of the caller's span; without a span there are none."""
    span = SpanContext(
        0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")])
    )
    async with open_producer(stage.url, exchange=stage.prefix) as producer:
        token = context.attach(trace.set_span_in_context(NonRecordingSpan(span)))
        try:
            await producer.publish([payment("traced")])
        finally:
            context.detach(token)
        await producer.publish([payment("untraced")])
    traced, untraced = await stage.take(stage.names.incoming, 2)
    assert traced.headers["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert traced.headers["tracestate"] == "a=b"
    assert "traceparent" not in untraced.headers


async def test_what_no_queue_takes_is_named(stage: Stage) -> None:
    """Each payment of a batch that is returned is listed with its place, its id and its body."""
    await stage.channel.queue_unbind(stage.names.incoming, stage.prefix, "#")
    bodies = [payment("pay-1"), payment("pay-2"), payment("pay-3")]
    async with open_producer(stage.url, exchange=stage.prefix, batch=2) as producer:
        with pytest.raises(
            PaymentsUnconfirmed, match=r"not confirmed: 3, .*pay-1: returned.*NO_ROUTE"
        ) as info:
            await producer.publish(bodies)
        await stage.channel.queue_bind(stage.names.incoming, stage.prefix, "#")
        assert [(one.number, one.payment_id, one.unknown, one.body) for one in info.value.unconfirmed] == [
            (number, f"pay-{number}", False, body) for number, body in enumerate(bodies, 1)
        ]
        assert await producer.publish(one.body for one in info.value.unconfirmed) == 3


async def test_a_line_stops_at_what_is_not_confirmed(stage: Stage) -> None:
    """Behind a payment that is refused, those of the same merchant are not sent; others are."""
    await stage.channel.queue_unbind(stage.names.incoming, stage.prefix, "#")
    await stage.channel.queue_bind(stage.names.incoming, stage.prefix, "card.eur")
    line = {"merchant_id": "one"}
    given = [
        payment("a", **line), payment("b", currency="USD", **line), payment("c", **line), payment("d"),
    ]  # fmt: skip
    async with open_producer(stage.url, exchange=stage.prefix, ordered_by="merchant_id") as producer:
        with pytest.raises(PaymentsUnconfirmed) as info:
            await producer.publish(given)
    assert info.value.confirmed == 2
    assert [one.payment_id for one in info.value.unconfirmed] == ["b", "c"]
    assert info.value.unconfirmed[1].reason == "not sent: one before it of one is not confirmed"
    taken = await stage.take(stage.names.incoming, 2)
    assert {orjson.loads(one.body)["payment_id"]: one.headers["order-key"] for one in taken} == {
        "a": "one",
        "d": "studio-aurora",
    }


async def test_never_more_in_flight_than_allowed(stage: Stage, broker: LocalBroker) -> None:
    """While no confirm comes back, no more than the window is taken from the sources of all calls."""
    taken = 0

    def bodies() -> Any:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield payment(f"pay-{number}")

    async with proxy_to(broker.port) as proxy:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with open_producer(url, exchange=stage.prefix, in_flight=5) as producer:
            proxy.silence()
            calls = [asyncio.create_task(producer.publish(bodies())) for _ in range(2)]

            async def full() -> bool:
                return taken >= 5

            await eventually(full, "a full window")
            await asyncio.sleep(0.05)
            assert taken <= 5 + 2  # each call holds one more that waits for its turn
            proxy.speak()
            assert await asyncio.gather(*calls) == [100, 100]


async def test_a_connection_that_ends_leaves_an_account(stage: Stage, broker: LocalBroker) -> None:
    """What was in flight may have arrived, what was not sent has not, and what comes behind is not taken."""
    async with proxy_to(broker.port) as proxy:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with open_producer(url, exchange=stage.prefix, in_flight=3) as producer:
            proxy.silence()
            call = asyncio.create_task(producer.publish(payment(f"pay-{number}") for number in range(9)))
            await asyncio.sleep(0.05)
            proxy.reset()
            with pytest.raises(PaymentsUnconfirmed) as info:
                await call
    assert info.value.confirmed == 0
    lost = info.value.unconfirmed
    assert [one.unknown for one in lost] == [True, True, True, False]
    assert [one.number for one in lost] == [1, 2, 3, 4]
    assert lost[3].reason.startswith("not sent: the connection ended")


async def test_no_confirm_in_time_is_unknown(stage: Stage, broker: LocalBroker) -> None:
    """A broker that does not answer is not waited for without end."""
    async with proxy_to(broker.port) as proxy:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with open_producer(url, exchange=stage.prefix, confirm_timeout_seconds=0.2) as producer:
            proxy.silence()
            with pytest.raises(PaymentsUnconfirmed, match=r"no confirm within 0.2 s") as info:
                await producer.publish([payment()])
            proxy.speak()
    assert info.value.unconfirmed[0].unknown


@pytest.mark.parametrize("count", [1, 2000])
async def test_a_missing_exchange_is_named(stage: Stage, count: int) -> None:
    """It says which, and what creates it, however many are on their way when the channel closes."""
    async with open_producer(stage.url, exchange="nowhere") as producer:
        with pytest.raises(TopologyMismatch, match=r"no exchange nowhere; .*topology declare"):
            await producer.publish(payment(f"pay-{number}") for number in range(count))


async def test_a_source_that_raises_costs_nothing_else(stage: Stage) -> None:
    """What it gave before is confirmed, and the producer goes on, also after more of that than the window."""

    def source() -> Any:
        yield from (payment("pay-1"), payment("pay-2"))
        raise LookupError("the database is away")

    async with open_producer(stage.url, exchange=stage.prefix, in_flight=5) as producer:
        for _ in range(5):
            with pytest.raises(LookupError) as info:
                await producer.publish(source())
            assert info.value.__notes__ == ["2 of the payments given before it are confirmed"]
        async with asyncio.timeout(60):
            assert await producer.publish([payment("pay-3")]) == 1
    assert len(await stage.take(stage.names.incoming, 11)) == 11


async def test_calls_that_are_cancelled_give_their_places_back(stage: Stage) -> None:
    """A producer whose calls were cancelled before they had begun to send publishes as before."""
    async with open_producer(stage.url, exchange=stage.prefix, in_flight=5) as producer:
        for _ in range(5):
            call = asyncio.create_task(producer.publish([payment("pay-1"), payment("pay-2")]))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        async with asyncio.timeout(60):
            assert await producer.publish([payment("pay-3")]) == 1


async def test_a_wrong_password_is_said(broker: LocalBroker) -> None:
    """Opening says what is wrong."""
    with pytest.raises(AccessRefused):
        async with open_producer(broker.url.replace("guest:guest", "guest:wrong")):
            raise AssertionError


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("amqp://127.0.0.1", {"batch": 0}, "must be 1 or more"),
        ("amqp://127.0.0.1", {"confirm_timeout_seconds": 0}, "must be more than 0"),
        ("", {}, "must be amqp://user:password@host"),
        ("user:secret@127.0.0.1:5672", {}, "must be amqp://user:password@host"),
        ("http://127.0.0.1", {}, "must be amqp://user:password@host"),
    ],
)
async def test_bounds_are_checked(url: str, options: dict[str, Any], words: str) -> None:
    """There is no batch of none, no time of nothing, and no address that is none; it is not repeated."""
    with pytest.raises(ValueError, match=words) as info:
        async with open_producer(url, **options):
            raise AssertionError
    assert "secret" not in str(info.value)


async def test_the_page_shows_what_works(stage: Stage) -> None:
    """The code of docs/producer.md publishes in batches, and again what was not confirmed."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    code = code.replace("open_producer(url, ", f"open_producer(url, exchange={stage.prefix!r}, ")
    names: dict[str, Any] = {}
    exec(compile(code, "producer.md", "exec"), names)  # noqa: S102 - our own page
    send = names["send"]
    assert await send(stage.url, [payment_fields(f"pay-{number}") for number in range(60)]) == 60
    assert [len(one.body.splitlines()) for one in await stage.take(stage.names.incoming, 2)] == [50, 10]

    await stage.channel.queue_unbind(stage.names.incoming, stage.prefix, "#")
    with pytest.raises(PaymentsUnconfirmed, match="NO_ROUTE"):
        await send(stage.url, [payment_fields()])
