"""Dead letters without a broker: deliveries as the wire has them, and a queue to look through."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas import dead_letter as names
from worker.amqp.lane import CONFIRMED, Confirmation, Outgoing, Properties
from worker.amqp.wire import Delivery, encode_properties
from worker.dead_letters import DeadLetter, read_letter

DEAD_AT = "2026-11-24T12:00:00.000Z"


def delivery(
    body: bytes, properties: Properties, tag: int = 1, exchange: str = "payments.dead", key: str = "no_route"
) -> Delivery:
    """A delivery as the broker hands it over."""
    made = Delivery(1, tag, False, _short("ctag") + bytes(9) + _short(exchange) + _short(key))
    made.raw_properties, made.body = encode_properties(properties), body
    return made


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def dead_headers(payment_id: str | None = "pay-1", code: str = "no_route", **more: Any) -> dict[str, Any]:
    """The headers that the worker gives a dead letter; ``more`` by their names in Python, None for absent."""
    attempts = [{"attempt": 1, "at": DEAD_AT, "code": code}]
    headers = {
        names.PAYMENT_ID: payment_id,
        names.ERROR_CODE: code,
        names.ERROR_MESSAGE: "why",
        names.ATTEMPT: 1,
        names.ATTEMPTS: json.dumps(attempts),
        names.FIRST_SEEN: DEAD_AT,
        names.DEAD_AT: DEAD_AT,
        names.EXCHANGE: "payments",
        names.ROUTING_KEY: "card.eur",
        names.TRACEPARENT: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        **{getattr(names, name): value for name, value in more.items()},
    }
    return {name: value for name, value in headers.items() if value is not None}


def dead_letter(
    body: bytes = b'{"amount":{"value":"10.00","currency":"EUR"}}',
    payment_id: str | None = "pay-1",
    code: str = "no_route",
    tag: int = 1,
    **more: Any,
) -> DeadLetter:
    """A dead letter as it is read from the queue."""
    properties = Properties(
        "application/json", headers=dead_headers(payment_id, code, **more), message_id=f"letter-{tag}"
    )
    return read_letter(delivery(body, properties, tag))


@dataclass
class FakeBrowser:
    """A queue of letters to look through; ``log`` has what was done to it, in order.

    ``outcomes`` answer the publishes to come, and then each is confirmed.
    """

    waiting: list[Delivery]
    found: int = -1
    outcomes: list[Confirmation] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    sent: list[Outgoing] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    empty: bool = True

    def __post_init__(self) -> None:
        if self.found < 0:
            self.found = len(self.waiting)

    async def take(self, max_deliveries: int) -> Sequence[Delivery]:
        while not self.waiting:
            await asyncio.sleep(3600)
        taken, self.waiting = self.waiting[:max_deliveries], self.waiting[max_deliveries:]
        return taken

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        self.log.append(f"send {len(batch)}")
        self.sent += batch
        await asyncio.sleep(0)
        return [self.outcomes.pop(0) if self.outcomes else CONFIRMED for _ in batch]

    async def remove(self, deliveries: Iterable[Delivery]) -> None:
        tags = [one.tag for one in deliveries]
        self.log.append(f"remove {len(tags)}")
        self.removed += tags

    async def is_empty(self) -> bool:
        return self.empty
