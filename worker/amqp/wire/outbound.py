"""What the worker writes: publishes with their content, and the three ways to settle a delivery."""

from struct import Struct
from typing import Final

from worker.amqp.wire.frames import (
    ACK,
    BASIC_CLASS,
    BODY_FRAME,
    CONTENT_FIELDS_BYTES,
    CONTENT_HEAD,
    FRAME_END,
    FRAME_END_BYTE,
    FRAME_HEAD,
    FRAME_OVERHEAD_BYTES,
    HEADER_FRAME,
    METHOD_FRAME,
    NACK,
    PUBLISH,
    REJECT,
    U32,
    check_channel,
    check_frame_max,
)
from worker.amqp.wire.table_encoding import encode_short_string
from worker.errors import MalformedProperties, WireError

_END_THEN_HEAD: Final = Struct(">BBHI")  # the end octet of one frame and the head of the next
_SETTLE: Final = Struct(">BHIIQBB")  # a whole ack, reject or nack frame: 13 octets of payload
_SETTLE_PAYLOAD_BYTES: Final = 13
_MULTIPLE: Final = 1
_NACK_REQUEUE: Final = 2
_REJECT_REQUEUE: Final = 1
_MAX_DELIVERY_TAG: Final = 2**64 - 1


class PublishRoute:
    """Publishes to one exchange and routing key on one channel; the method frame is built once.

    ``frame_max`` is the negotiated size of a whole frame in bytes. ``mandatory`` makes the broker return what
    it cannot route.

    Raises:
        WireError: The channel or the frame size is out of bounds.
        MalformedProperties: The exchange or the routing key is longer than 255 bytes.
    """

    __slots__ = ("_channel", "_method", "_payload_max", "_properties_max")

    def __init__(
        self, channel: int, exchange: str, routing_key: str, *, frame_max: int, mandatory: bool = True
    ) -> None:
        check_channel(channel)
        check_frame_max(frame_max)
        self._channel: Final = channel
        self._payload_max: Final = frame_max - FRAME_OVERHEAD_BYTES
        self._properties_max: Final = self._payload_max - CONTENT_FIELDS_BYTES
        arguments = b"".join(
            (
                U32.pack(PUBLISH),
                b"\x00\x00",  # a reserved short
                encode_short_string(exchange, "exchange"),
                encode_short_string(routing_key, "routing key"),
                b"\x01" if mandatory else b"\x00",
            )
        )
        self._method: Final = (
            FRAME_HEAD.pack(METHOD_FRAME, channel, len(arguments)) + arguments + FRAME_END_BYTE
        )

    def parts(self, properties: bytes, body: bytes) -> tuple[bytes, ...]:
        """Give the frames of one publish in pieces, whose concatenation goes to the socket in one write.

        ``properties`` is what ``encode_properties`` or a template gave. The body is not copied unless it
        needs more than one frame.

        Raises:
            MalformedProperties: The properties do not fit one frame, which AMQP requires of them.
        """
        size = len(body)
        if size > self._payload_max or not size or len(properties) > self._properties_max:
            return self._uncommon_parts(properties, body)
        return (
            self._method,
            CONTENT_HEAD.pack(
                HEADER_FRAME, self._channel, CONTENT_FIELDS_BYTES + len(properties), BASIC_CLASS, 0, size
            ),
            properties,
            _END_THEN_HEAD.pack(FRAME_END, BODY_FRAME, self._channel, size),
            body,
            FRAME_END_BYTE,
        )

    def encode(self, properties: bytes, body: bytes) -> bytes:
        """Give the frames of one publish as one piece; see ``parts``."""
        return b"".join(self.parts(properties, body))

    def _uncommon_parts(self, properties: bytes, body: bytes) -> tuple[bytes, ...]:
        """Give an empty body, which has no body frame, or one that needs several."""
        if len(properties) > self._properties_max:
            raise MalformedProperties(
                f"properties and headers of {len(properties)} bytes do not fit a frame of "
                f"{self._payload_max + FRAME_OVERHEAD_BYTES} bytes, and AMQP cannot split them; "
                "shorten the headers"
            )
        channel, step = self._channel, self._payload_max
        head = CONTENT_HEAD.pack(
            HEADER_FRAME, channel, CONTENT_FIELDS_BYTES + len(properties), BASIC_CLASS, 0, len(body)
        )
        parts = [self._method, head, properties]
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            parts += (_END_THEN_HEAD.pack(FRAME_END, BODY_FRAME, channel, len(piece)), piece)
        parts.append(FRAME_END_BYTE)
        return tuple(parts)


def encode_ack(channel: int, delivery_tag: int, *, multiple: bool = False) -> bytes:
    """Encode the ack of one delivery or, with ``multiple``, of all on the channel up to it.

    Raises:
        WireError: The tag is 0, which would ack everything, or not a tag at all.
    """
    return _settle(channel, ACK, delivery_tag, _MULTIPLE if multiple else 0)


def encode_reject(channel: int, delivery_tag: int, *, requeue: bool) -> bytes:
    """Encode the rejection of one delivery; without ``requeue`` the queue dead-letters or drops it.

    Raises:
        WireError: The tag is 0 or not a tag at all.
    """
    return _settle(channel, REJECT, delivery_tag, _REJECT_REQUEUE if requeue else 0)


def encode_nack(channel: int, delivery_tag: int, *, requeue: bool, multiple: bool = False) -> bytes:
    """Encode the nack of one delivery or, with ``multiple``, of all on the channel up to it.

    It is RabbitMQ's extension of AMQP 0-9-1.

    Raises:
        WireError: The tag is 0, which would nack everything, or not a tag at all.
    """
    bits = (_MULTIPLE if multiple else 0) | (_NACK_REQUEUE if requeue else 0)
    return _settle(channel, NACK, delivery_tag, bits)


def _settle(channel: int, method: int, delivery_tag: int, bits: int) -> bytes:
    check_channel(channel)
    if not 1 <= delivery_tag <= _MAX_DELIVERY_TAG:
        raise WireError(
            f"delivery tag {delivery_tag} on channel {channel} is not one the broker gave: "
            "they count from 1, and 0 would settle every delivery at once"
        )
    return _SETTLE.pack(METHOD_FRAME, channel, _SETTLE_PAYLOAD_BYTES, method, delivery_tag, bits, FRAME_END)
