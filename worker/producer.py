"""A producer for applications: payments to a worker's exchange, confirmed, in batches if wanted.

docs/producer.md says how to use it, and what its errors mean.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from schemas.payment import Payment
from worker.amqp.connection import Broker, connected
from worker.amqp.publisher import WINDOW, Failure, Message, Publisher
from worker.batches import as_messages
from worker.errors import ConfigurationError, PaymentsUnconfirmed, Unconfirmed

_PROPAGATOR: Final = TraceContextTextMapPropagator()

AnyPayment: TypeAlias = Payment | Mapping[str, Any] | bytes


@dataclass(slots=True)
class Producer:
    """Publishes payments. Make it with ``open_producer``; it serves one event loop."""

    _publisher: Publisher
    _batch: int
    _ordered_by: str | None

    async def publish(self, payments: Iterable[AnyPayment]) -> int:
        """Publish all payments and return how many there were, once the broker has confirmed every one.

        Bytes go out as they are, everything else as JSON. The current OpenTelemetry context travels along.
        Calls may run at once; what must keep its order belongs into one call, or into one after another.

        Raises:
            PaymentsUnconfirmed: some are not confirmed; it lists them. All others are.
            Exception: what ``payments`` raised, or what cannot be written as JSON; a note says how many are
                confirmed.
            TopologyMismatch: there is no such exchange.
        """
        confirmed = 0

        def count(message: Message) -> None:
            nonlocal confirmed
            confirmed += len(message.numbers)

        numbered = enumerate(map(_encode, payments), start=1)
        messages = as_messages(numbered, self._batch, self._ordered_by, trace_headers())
        try:
            failures = await self._publisher.publish(messages, count)
        except Exception as error:
            error.add_note(f"{confirmed:,} of the payments given before it are confirmed")
            raise
        if isinstance(self._publisher.ended, ConfigurationError):
            raise self._publisher.ended
        if failures:
            unconfirmed = tuple(sorted((each for one in failures for each in _parted(one)), key=_number))
            raise PaymentsUnconfirmed(confirmed, unconfirmed)
        return confirmed


@asynccontextmanager
async def open_producer(  # noqa: PLR0913 - options by keyword, each with a default
    amqp_url: str,
    *,
    exchange: str = "payments",
    batch: int = 1,
    in_flight: int = WINDOW,
    ordered_by: str | None = None,
    confirm_timeout_seconds: float = 30.0,
) -> AsyncIterator[Producer]:
    """Open a producer for the block.

    ``amqp_url`` may be several addresses, separated by commas. Up to ``batch`` payments go into one NDJSON
    message; with 1, each is a JSON message of its own. At most ``in_flight`` messages await their confirm.
    ``ordered_by`` names the member of payments whose value keeps an order, as the worker's setting does.

    Raises:
        ValueError: an option is out of its bounds.
        BrokerUnavailable: no address answers.
        AccessRefused: the user, the password or the virtual host is wrong.
    """
    if batch < 1 or in_flight < 1:
        raise ValueError(f"batch and in_flight must be 1 or more, not {batch} and {in_flight}")
    if confirm_timeout_seconds <= 0:
        raise ValueError(f"confirm_timeout_seconds must be more than 0, not {confirm_timeout_seconds:g}")
    first, *others = _addresses(amqp_url)
    broker = Broker(first, heartbeat_seconds=10, connect_timeout_seconds=10.0, others=tuple(others))
    async with connected(broker, "payment producer") as connection:
        publisher = await Publisher.open(
            connection, exchange, window=in_flight, confirm_timeout_seconds=confirm_timeout_seconds
        )
        yield Producer(publisher, batch, ordered_by)


def _addresses(amqp_url: str) -> list[URL]:
    urls = [URL(part.strip()) for part in amqp_url.split(",") if part.strip()]
    if not urls or any(url.scheme not in ("amqp", "amqps") or not url.host for url in urls):
        raise ValueError(  # not repeated here: it may hold a password
            "amqp_url must be amqp://user:password@host:port/vhost or amqps://..., or several separated by"
            " commas"
        )
    return urls


def trace_headers() -> dict[str, str]:
    """Return ``traceparent`` and ``tracestate`` of the current OpenTelemetry context, where it has them."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    return headers


def _encode(payment: AnyPayment) -> bytes:
    match payment:
        case bytes():
            return payment
        case Payment():
            return payment.model_dump_json(exclude_none=True).encode()
        case _:
            return orjson.dumps(payment)


def _parted(failure: Failure) -> Iterator[Unconfirmed]:
    """Yield each payment of a message that is not confirmed."""
    message = failure.message
    bodies = message.body.split(b"\n") if len(message.numbers) > 1 else [message.body]
    for number, body in zip(message.numbers, bodies, strict=False):
        yield Unconfirmed(number, _payment_id(body), failure.reason, failure.unknown, body)


def _payment_id(body: bytes) -> str | None:
    try:
        found = orjson.loads(body)["payment_id"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return found if isinstance(found, str) else None


def _number(unconfirmed: Unconfirmed) -> int:
    return unconfirmed.number
