"""The tap lane: deliveries, publishes and acknowledgements as frames of our own, on channels aiormq keeps."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from aiormq.abc import AbstractConnection
from aiormq.channel import Channel

from worker.amqp.confirms import Confirms
from worker.amqp.connection import explain_closing, frame_max
from worker.amqp.lane import (
    CONFIRMED,
    Confirmation,
    EncodedProperties,
    Outgoing,
    Refused,
    Unknown,
)
from worker.amqp.paired import PairedLane
from worker.amqp.tap import TappedConnection
from worker.amqp.wire import Confirm, Delivery, Event, PropertiesEncoder, PublishRoute, Return, encode_ack
from worker.errors import MalformedProperties, WireError

MAX_ROUTES: Final = 4096
_SAME_ID_POLL_SECONDS: Final = 0.001


class _SameId(Exception):
    """A publish with the same message id is in flight."""


class Outlet:
    """The channel for the publishes to one exchange, and which of them the broker has answered."""

    __slots__ = ("confirms", "number", "refuses")

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self.confirms: Final = Confirms()
        self.refuses = False

    def take(self, events: list[Event]) -> None:
        """Take confirms and returns.

        Raises:
            WireError: they do not fit what was published.
            MalformedProperties: what is returned cannot be read.
        """
        confirm = self.confirms.confirm
        for event in events:
            if type(event) is Confirm:
                confirm(event.tag, event.multiple, event.stored)
                if not event.stored:
                    self.refuses = True
            elif type(event) is Return:
                self.confirms.returned(event.properties.message_id, event.reply_text)


class TapLane(PairedLane[Delivery, TappedConnection, Outlet]):
    """A lane over two tapped connections. Make it with ``open``."""

    def __init__(
        self, consuming: TappedConnection, publishing: TappedConnection, confirm_timeout: float
    ) -> None:
        super().__init__(consuming, publishing, confirm_timeout)
        self._consuming_tap, self._publishing_tap = consuming.tap, publishing.tap
        self._encoder = PropertiesEncoder()
        self._routes: dict[tuple[str, str], PublishRoute] = {}

    @classmethod
    def connection_kind(cls) -> type[TappedConnection]:
        """Return the connection with a tap on it."""
        return TappedConnection

    def _prepare(self, consuming: AbstractConnection, publishing: AbstractConnection) -> None:
        self._frame_max, self._negotiated = frame_max(publishing), publishing.connection_tune.frame_max
        self._publishing_tap.watch_flow(self._wake.set)
        self._consuming_tap.divert(
            self._consumer.number, consuming.connection_tune.frame_max, self._on_deliveries
        )

    async def _consume(self, channel: Channel, queue: str) -> str:
        return str((await channel.basic_consume(queue, _never_called)).consumer_tag)

    def _is_blocked(self) -> bool:
        return self._publishing_tap.blocked

    def _holds_back(self) -> bool:
        return not self._publishing_tap.takes_publishes

    def _explain(self, cause: BaseException | None) -> str:
        return explain_closing(self._consuming_tap.failure or self._publishing_tap.failure or cause)

    def _end(self, reason: str) -> None:
        super()._end(reason)
        for outlet in self._outlets:
            outlet.confirms.fail(self._ended or reason)

    def _on_deliveries(self, events: list[Event]) -> None:
        arrived = [event for event in events if type(event) is Delivery]
        if arrived:
            self._watermark.deliver(arrived[-1].tag)
            self._arrived += arrived
        self._wake.set()

    def _attach(self, exchange: str, channel: Channel) -> Outlet:
        outlet = Outlet(channel.number)
        self._routes.clear()  # they have the number of the channel before

        def take(events: list[Event]) -> None:
            try:
                outlet.take(events)
            except (WireError, MalformedProperties) as error:
                self._end(str(error))
            if outlet.refuses:
                self._outlets.note_refusal(exchange)

        def closed(code: int, reason: str) -> None:
            self._outlets.forget(exchange, outlet)
            self._refuse_access(code, reason)
            outlet.confirms.fail(reason, again=True)

        self._publishing_tap.divert(channel.number, self._negotiated, take, closed)
        return outlet

    def _is_idle(self, outlet: Outlet) -> bool:
        return not outlet.confirms.outstanding

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        """See ``Lane.send``. Two publishes with one message id are never in flight together."""
        unanswered = await self._need_outlets(batch)
        if unanswered:
            rest = iter(await self.send([one for one in batch if one.exchange not in unanswered]))
            return [unanswered.get(one.exchange) or next(rest) for one in batch]
        if not batch:
            return []
        ids = [outgoing.properties.message_id or "" for outgoing in batch]
        if len(set(ids)) == len(ids):
            try:
                return await self._send(batch, ids)
            except (MalformedProperties, _SameId):
                pass  # nothing was sent: find out which one it is
        return await self._send_apart(batch, ids)

    async def _send_apart(self, batch: Sequence[Outgoing], ids: Sequence[str]) -> Sequence[Confirmation]:
        """Send what stands in nobody's way together, and the rest one by one behind it.

        That is what repeats an id of the batch or of another in flight, and what cannot be encoded.
        """
        together: dict[str, int] = {}  # places by message id
        alone: list[int] = []
        for place, outgoing in enumerate(batch):
            usual = ids[place] not in together and not self._in_flight(outgoing.exchange, [ids[place]])
            if usual and self._can_encode(outgoing):
                together[ids[place]] = place
            else:
                alone.append(place)
        found: dict[int, Confirmation] = {}
        if together:
            places = together.values()
            outcomes = await self._send([batch[place] for place in places], list(together))
            found.update(zip(places, outcomes, strict=True))
        for place in alone:
            found[place] = await self._send_alone(batch[place])
        return [found[place] for place in range(len(batch))]

    def _can_encode(self, outgoing: Outgoing) -> bool:
        try:
            self._encode([outgoing])
        except MalformedProperties:
            return False
        return True

    async def _send_alone(self, outgoing: Outgoing) -> Confirmation:
        ids = [outgoing.properties.message_id or ""]
        while True:
            unanswered = await self._need_outlets([outgoing])
            if unanswered:
                return unanswered[outgoing.exchange]
            if not self._in_flight(outgoing.exchange, ids):
                break
            await asyncio.sleep(_SAME_ID_POLL_SECONDS)  # rare: the worker's ids are unique
        try:
            (confirmation,) = await self._send([outgoing], ids)
        except MalformedProperties as error:
            return Refused(MalformedProperties.code, str(error))
        return confirmation

    def _in_flight(self, exchange: str, message_ids: Sequence[str]) -> bool:
        return self._outlets[exchange].confirms.any_in_flight(message_ids)

    async def _send(self, batch: Sequence[Outgoing], ids: Sequence[str]) -> Sequence[Confirmation]:
        """Write all of ``batch``, whose outlets are open, and wait for the answers.

        Raises:
            MalformedProperties: one of them cannot be encoded; nothing was written.
            _SameId: a publish with one of the ids is in flight; nothing was written.
        """
        frames, places = self._encode(batch)
        if self._ended is not None:
            return [Unknown(self._ended)] * len(batch)
        ids_of = {exchange: [ids[place] for place in own] for exchange, own in places.items()}
        if any(self._in_flight(exchange, own) for exchange, own in ids_of.items()):
            raise _SameId
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        missing = len(places)

        def note_answers() -> None:
            nonlocal missing
            missing -= 1
            if not missing and not answered.done():
                answered.set_result(None)

        sent = [self._outlets[name].confirms.publish(own, note_answers) for name, own in ids_of.items()]
        self._publishing_tap.write(frames)
        waiting = self._clock.start()
        try:
            await answered
        except asyncio.CancelledError:
            self._end("a publish was cancelled before its confirm")
            raise
        finally:
            self._clock.stop(waiting)
        if len(sent) == 1:
            return sent[0].outcomes
        outcomes: list[Confirmation] = [CONFIRMED] * len(batch)
        for own, answers in zip(places.values(), sent, strict=True):
            for place, outcome in zip(own, answers.outcomes, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _encode(self, batch: Sequence[Outgoing]) -> tuple[bytes, dict[str, list[int]]]:
        """Return the frames, and the places in the batch of each exchange's publishes.

        The frames of one exchange stand together: a broker that is handed one channel's publishes in a row
        wakes fewer of its processes, confirms more at once, and has a sixth more done in the same time.
        """
        frames: dict[str, list[bytes]] = {}
        places: dict[str, list[int]] = {}
        encode, routes = self._encoder.encode, self._routes
        for place, outgoing in enumerate(batch):
            exchange, key = outgoing.exchange, outgoing.routing_key
            route = routes.get((exchange, key)) or self._route(exchange, key)
            properties = outgoing.properties
            if isinstance(properties, EncodedProperties):
                parts = route.parts(properties.raw, outgoing.body)
            else:
                properties.delivery_mode = 2
                parts = route.parts(encode(properties), outgoing.body)
            if exchange in places:
                places[exchange].append(place)
                frames[exchange] += parts
            else:
                places[exchange] = [place]
                frames[exchange] = [*parts]
        return b"".join(itertools.chain.from_iterable(frames.values())), places

    def _route(self, exchange: str, routing_key: str) -> PublishRoute:
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        number = self._outlets[exchange].number
        route = PublishRoute(number, exchange, routing_key, frame_max=self._frame_max)
        self._routes[exchange, routing_key] = route
        return route

    async def _acknowledge(self, acks: Iterable[tuple[int, bool]]) -> None:
        if self._ended is None:
            channel = self._consumer.number
            frames = [encode_ack(channel, tag, multiple=multiple) for tag, multiple in acks]
            if frames:
                self._consuming_tap.write(b"".join(frames))

    def _drop(self, connection: TappedConnection) -> None:
        connection.tap.abort()


async def _never_called(_message: object) -> None:
    """Stand where aiormq wants a callback: the tap takes the deliveries before aiormq sees them."""
