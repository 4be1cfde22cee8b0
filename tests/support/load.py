"""A producer under faults: a mix of payments, each published until the broker has confirmed it."""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError
from pamqp import commands
from yarl import URL

from tests.support.bodies import payment_fields

RULES_HEAD: Final = """\
version: 1
processors:
  alpha: {{exchange: "{prefix}.proc.alpha", health: {{open_seconds: 1}}}}
  beta: {{exchange: "{prefix}.proc.beta", health: {{open_seconds: 1}}}}
  gamma: {{exchange: "{prefix}.proc.gamma", health: {{open_seconds: 1}}}}
"""
"""How rules for these payments begin."""
RULES: Final = (
    RULES_HEAD
    + """\
fees:
  standard:
    components:
      - {{name: processing, percent: "2.9", fixed: {{EUR: "0.30"}}}}
    when_fee_exceeds: clamp
rules:
  - name: cards
    when: {{type: card}}
    route: {{to: alpha, fees: standard}}
  - name: wallets
    when: {{type: wallet}}
    route: {{to: alpha, fallback: [beta], fees: standard}}
  - name: vouchers
    when: {{type: voucher}}
    route: {{to: gamma}}
default:
  reject: {{code: no_route, reason: no rule covers this payment}}
"""
)
CANDIDATES: Final = {"card": ("alpha",), "wallet": ("alpha", "beta"), "voucher": ("gamma",)}
"""Which processors may have a payment of this type."""
BROKEN: Final = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError, asyncio.CancelledError)
"""What aiormq raises when a connection ends under it; it cancels what waits on a silent one."""
_WINDOW: Final = 100
_AGAIN_SECONDS: Final = 0.05
_ANSWER_SECONDS: Final = 10.0


@dataclass(slots=True)
class Sent:
    """One payment of the load. ``code`` is that of its dead letter when it is bad.

    ``published`` counts how often it may have reached the broker: more than once where a confirm was lost.
    """

    payment_id: str
    body: bytes
    routing_key: str
    candidates: tuple[str, ...] = ()
    code: str | None = None
    published: int = 0
    confirmed: bool = False


def write_fault_rules(path: Path, prefix: str, rules: str = RULES) -> Path:
    """Write rules whose exchanges no other test has."""
    path.write_text(rules.format(prefix=prefix))
    return path


@asynccontextmanager
async def connected_to(url: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection for the block; one that breaks is closed without a word, within seconds."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        connection = await aiormq.connect(URL(url).update_query(heartbeat="5"))
    try:
        yield connection
    finally:
        with contextlib.suppress(*BROKEN):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await connection.close()


@asynccontextmanager
async def channel_to(url: str) -> AsyncIterator[AbstractChannel]:
    """Open a channel with confirms, on a connection of its own."""
    async with connected_to(url) as connection:
        async with asyncio.timeout(_ANSWER_SECONDS):
            channel = await connection.channel(publisher_confirms=True)
        yield channel


@dataclass(slots=True)
class Load:
    """Makes payments by chance and publishes them to one exchange; ``sent`` is its memory.

    ``lines`` payments go in one message, where it is more than one.
    """

    url: str
    exchange: str
    chance: random.Random
    bad_share: float = 0.1
    lines: int = 1
    sent: list[Sent] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def make(self, count: int, *kinds: str) -> list[Sent]:
        """Make payments of these types, by default of all that the rules know and some that are bad."""
        return [self._make(*kinds) for _ in range(count)]

    def _make(self, *kinds: str) -> Sent:
        number = next(self._numbers)
        if not kinds and self.chance.random() < self.bad_share:
            return self._make_bad(number)
        kind = self.chance.choice(kinds or tuple(CANDIDATES))
        fields = self._fields(number, kind)
        return Sent(f"pay-{number}", json.dumps(fields).encode(), f"{kind}.eur", CANDIDATES[kind])

    def _fields(self, number: int, kind: str) -> dict[str, Any]:
        value = f"{self.chance.randrange(1, 10_000)}.{self.chance.randrange(100):02}"
        note = "n" * self.chance.choice((0, 10, 200))
        return {**payment_fields(f"pay-{number}", value), "type": kind, "note": note}

    def _make_bad(self, number: int) -> Sent:
        fields = self._fields(number, "card")
        code, body = self.chance.choice(
            (
                ("no_route", json.dumps({**fields, "type": "cheque"})),
                ("amount_not_positive", json.dumps({**fields, "amount": {"value": "0", "currency": "EUR"}})),
                ("unknown_currency", json.dumps({**fields, "amount": {"value": "1", "currency": "EUX"}})),
                ("malformed_message", json.dumps(fields)[:-1]),
                ("duplicate_key", json.dumps(fields)[:-1] + ', "type": "card"}'),
                ("invalid_payment", json.dumps({**fields, "created_at": f"{number} o'clock"})),
            )
        )
        return Sent(f"pay-{number}", body.encode(), "card.eur", code=code)

    async def publish(self, payments: Sequence[Sent]) -> None:
        """Publish until each is confirmed, through whatever happens to broker and connection."""
        self.sent += payments
        await self.publish_again(payments)

    async def publish_again(self, payments: Sequence[Sent]) -> None:
        """Publish at least once more what was made before, until each is confirmed."""
        left = list(payments)
        while left:
            with contextlib.suppress(*BROKEN):
                async with channel_to(self.url) as channel:
                    while left:
                        window, left = left[:_WINDOW], left[_WINDOW:]
                        async with asyncio.timeout(_ANSWER_SECONDS):
                            starts = range(0, len(window), self.lines)
                            messages = [window[at : at + self.lines] for at in starts]
                            await asyncio.gather(*(self._publish(channel, message) for message in messages))
                        if not all(one.confirmed for one in window):
                            break  # RabbitMQ 3.10 may refuse for ever on a channel that it has refused once
            _raise_if_cancelled()
            left = [one for one in payments if not one.confirmed]
            if left:
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _publish(self, channel: AbstractChannel, message: Sequence[Sent]) -> None:
        first = message[0]
        for one in message:
            one.published += 1
        properties = commands.Basic.Properties(
            content_type="application/x-ndjson" if self.lines > 1 else "application/json",
            delivery_mode=2,
            message_id=f"{first.payment_id}-{first.published}",
        )
        try:
            await channel.basic_publish(
                b"\n".join(one.body for one in message), exchange=self.exchange,
                routing_key=first.routing_key, properties=properties, mandatory=True,
            )  # fmt: skip
        except (PublishError, DeliveryError):
            for one in message:
                one.published -= 1  # the broker has definitely not taken it
        else:
            for one in message:
                one.confirmed = True

    @asynccontextmanager
    async def streaming(self, per_second: float, *kinds: str) -> AsyncIterator[None]:
        """Publish at this rate for the block; on leaving it, all that was made has been confirmed."""
        over = asyncio.Event()

        async def stream() -> None:
            while not over.is_set():
                await self.publish(self.make(max(1, round(per_second / 20)), *kinds))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), 0.05)

        streaming = asyncio.create_task(stream())
        try:
            yield
        finally:
            over.set()
            await streaming


def _raise_if_cancelled() -> None:
    """Let a cancellation that was meant for this task through: aiormq's own is nobody's wish."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
