"""What the broker writes on a data channel: deliveries, returns, and the confirms of publishes.

These are lean classes rather than frozen dataclasses because one is made a message; nobody changes them once
they are whole. Names, properties and headers stay encoded until they are asked for.
"""

from struct import Struct
from struct import error as struct_error
from typing import Final, TypeAlias

from worker.amqp import lane
from worker.amqp.wire.frames import U16, U64
from worker.amqp.wire.properties import decode_lane_properties
from worker.errors import WireError

_METHOD_BYTES: Final = 4  # class and method numbers
_TAG_AND_BITS: Final = Struct(">QB")
_CONFIRM_BYTES: Final = _METHOD_BYTES + _TAG_AND_BITS.size
_MULTIPLE: Final = 1


class Content:
    """Properties and body of a message; an event has both, they are set once the content has arrived."""

    __slots__ = ("_decoded", "body", "channel", "raw_properties")

    channel: int
    raw_properties: bytes
    body: bytes
    _decoded: lane.Properties | None

    @property
    def properties(self) -> lane.Properties:
        """The properties, decoded at the first use, without the user id (see ``decode_lane_properties``).

        Raises:
            MalformedProperties: They cannot be read; ``raw_properties`` still holds their bytes.
        """
        decoded = self._decoded
        if decoded is None:
            decoded = self._decoded = decode_lane_properties(self.raw_properties)
        return decoded


class Delivery(Content):
    """One hand-over of a message by the broker: Basic.Deliver and its content."""

    __slots__ = ("_names", "redelivered", "tag")

    def __init__(self, channel: int, tag: int, redelivered: bool, names: bytes) -> None:
        self.channel = channel
        self.tag = tag
        self.redelivered = redelivered
        self._names = names  # the method's arguments as they came
        self._decoded = None

    def __repr__(self) -> str:
        return f"Delivery(channel={self.channel}, tag={self.tag}, bytes={len(self.body)})"

    @property
    def consumer_tag(self) -> str:
        """The tag of the consumer the broker chose."""
        return _text(self._names, 1, self._names[0])

    @property
    def exchange(self) -> str:
        """The exchange the message was published to; empty for the default exchange."""
        at = self._names[0] + 10  # behind the consumer tag, the delivery tag (8) and the bits (1)
        return _text(self._names, at + 1, self._names[at])

    @property
    def routing_key(self) -> str:
        """The routing key the message was published or dead-lettered with."""
        at = self._names[0] + 10
        at += 1 + self._names[at]
        return _text(self._names, at + 1, self._names[at])


class Return(Content):
    """A mandatory publish the broker could not route: Basic.Return and the content as it was published."""

    __slots__ = ("exchange", "reply_code", "reply_text", "routing_key")

    def __init__(
        self, channel: int, reply_code: int, reply_text: str, exchange: str, routing_key: str
    ) -> None:
        self.channel = channel
        self._decoded = None
        self.reply_code = reply_code
        self.reply_text = reply_text
        self.exchange = exchange
        self.routing_key = routing_key

    def __repr__(self) -> str:
        return (
            f"Return(channel={self.channel}, reply_code={self.reply_code}, reply_text={self.reply_text!r}, "
            f"exchange={self.exchange!r}, routing_key={self.routing_key!r}, bytes={len(self.body)})"
        )


class Confirm:
    """The broker's word on one publish or, with ``multiple``, on all up to it: stored, or refused."""

    __slots__ = ("channel", "multiple", "stored", "tag")

    def __init__(self, channel: int, tag: int, multiple: bool, stored: bool) -> None:
        self.channel = channel
        self.tag = tag
        self.multiple = multiple
        self.stored = stored

    def __repr__(self) -> str:
        return (
            f"Confirm(channel={self.channel}, tag={self.tag}, multiple={self.multiple}, stored={self.stored})"
        )


Event: TypeAlias = Delivery | Return | Confirm


def read_deliver(channel: int, data: bytes, at: int, end: int) -> Delivery:
    """Read the Basic.Deliver whose method payload is ``data[at:end]``; its content is still to come.

    Raises:
        WireError: The arguments do not fill the payload exactly, or the delivery tag is 0.
    """
    start = at + _METHOD_BYTES
    try:
        tag_at = start + 1 + data[start]
        exchange_at = tag_at + 9
        key_at = exchange_at + 1 + data[exchange_at]
        if key_at + 1 + data[key_at] == end:
            tag = U64.unpack_from(data, tag_at)[0]
            if tag:
                return Delivery(channel, tag, data[exchange_at - 1] & 1 == 1, data[start:end])
            raise WireError(f"the broker gave delivery tag 0 on channel {channel}; they count from 1")
    except IndexError:
        pass  # a length octet would lie behind the data: told below like every other lie about lengths
    raise _lies(channel, "Basic.Deliver", end - at)


def read_return(channel: int, data: bytes, at: int, end: int) -> Return:
    """Read the Basic.Return whose method payload is ``data[at:end]``; its content is still to come.

    Raises:
        WireError: The arguments do not fill the payload exactly.
    """
    try:
        reply_code = U16.unpack_from(data, at + _METHOD_BYTES)[0]
        texts = []
        next_at = at + _METHOD_BYTES + 2
        for _ in range(3):
            start = next_at + 1
            next_at = start + data[next_at]
            texts.append(data[start:next_at].decode(errors="replace"))
    except (IndexError, struct_error) as error:
        raise _lies(channel, "Basic.Return", end - at) from error
    if next_at != end:
        raise _lies(channel, "Basic.Return", end - at)
    return Return(channel, reply_code, *texts)


def read_confirm(channel: int, data: bytes, at: int, end: int, stored: bool) -> Confirm:
    """Read the Basic.Ack (``stored``) or Basic.Nack whose method payload is ``data[at:end]``.

    Raises:
        WireError: The payload has another length, or the delivery tag is 0, which must confirm nothing.
    """
    if end - at != _CONFIRM_BYTES:
        raise _lies(channel, "Basic.Ack" if stored else "Basic.Nack", end - at)
    tag, bits = _TAG_AND_BITS.unpack_from(data, at + _METHOD_BYTES)
    if not tag:
        raise WireError(f"the broker confirmed delivery tag 0 on channel {channel}; publishes count from 1")
    return Confirm(channel, tag, bits & _MULTIPLE == 1, stored)


def _lies(channel: int, method: str, size: int) -> WireError:
    return WireError(
        f"{method} on channel {channel} has {size} bytes, which is not what its arguments say; "
        "the session ends"
    )


def _text(names: bytes, start: int, size: int) -> str:
    """Read a name. A routing key may have any bytes; what is not UTF-8 is shown, no reason to fail."""
    return names[start : start + size].decode(errors="backslashreplace")
