"""One diverted channel: its frames, one after the other, put together to events."""

from struct import error as struct_error
from typing import Final

from worker.amqp.wire.frames import (
    ACK,
    BASIC_CLASS,
    BODY_FRAME,
    CONTENT_FIELDS_BYTES,
    CONTENT_HEAD,
    CONTENT_HEAD_FIELDS,
    DELIVER,
    FRAME_END,
    FRAME_HEAD,
    FRAME_HEAD_BYTES,
    FRAME_OVERHEAD_BYTES,
    HEADER_FRAME,
    HEARTBEAT_FRAME,
    NACK,
    PROPERTY_FLAGS_BYTES,
    RETURN,
    U32,
)
from worker.amqp.wire.inbound import Delivery, Event, Return, read_confirm, read_deliver, read_return
from worker.errors import WireError

_METHOD_NUMBERS_BYTES: Final = 4
_MIN_CONTENT_BYTES: Final = CONTENT_FIELDS_BYTES + PROPERTY_FLAGS_BYTES

# What the channel may carry next.
_METHOD_ONLY: Final = 0  # a content is complete: only a method may follow
_OTHERS_CONTENT: Final = 1  # the last method was not ours, so a content is not either
_OUR_HEADER: Final = 2
_OUR_BODY: Final = 3
_EXPECTED: Final = ("a method", "a method or another's content", "a content header", "a body")


class DataChannel:
    """What one diverted channel has open: at most one content.

    ``max_payload`` and ``max_body`` are the largest frame payload and body taken, in bytes.
    """

    __slots__ = ("_expects", "_max_body", "_open", "_remaining", "body", "max_payload", "number")

    def __init__(self, number: int, max_payload: int, max_body: int) -> None:
        self.number: Final = number
        self.max_payload = max_payload
        self._max_body: Final = max_body
        self._expects = _OTHERS_CONTENT
        self._open: Delivery | Return | None = None
        self._remaining = 0  # bytes of the open body that have not come
        self.body = bytearray()  # those that have, when it comes in several frames

    def take_content(self, kind: int, data: bytes, at: int, end: int, events: list[Event]) -> int:
        """Take the header or body frame ``data[at:end]``; give ``end``, or 0 if it is not ours."""
        if self._expects == _OTHERS_CONTENT or kind == HEARTBEAT_FRAME:
            return 0
        if self._open is None or (kind == HEADER_FRAME) != (self._expects == _OUR_HEADER):
            raise WireError(
                f"a frame of kind {kind} came out of turn on channel {self.number}: "
                f"{_EXPECTED[self._expects]} was due; the session ends"
            )
        if kind == HEADER_FRAME:
            self._take_header(self._open, data, at, end, events)
        else:
            self._take_body(self._open, data, at, end, events)
        return end

    def take_method(self, data: bytes, at: int, end: int, events: list[Event]) -> int:
        """Take the method frame ``data[at:end]``, and the whole message it begins if that is there.

        Gives the offset behind what was taken, or 0 for a method that passes through.
        """
        start, stop = at + FRAME_HEAD_BYTES, end - 1
        if self._open is not None or stop - start < _METHOD_NUMBERS_BYTES:
            raise WireError(
                f"a method of {stop - start} bytes came out of turn on channel {self.number}: "
                f"{_EXPECTED[self._expects]} was due; the session ends"
            )
        method = U32.unpack_from(data, start)[0]
        if method == DELIVER:
            return self._take_delivery(data, start, stop, events)
        if method in (ACK, NACK):
            events.append(read_confirm(self.number, data, start, stop, method == ACK))
            self._expects = _METHOD_ONLY
            return end
        if method == RETURN:
            self._open = read_return(self.number, data, start, stop)
            self._expects = _OUR_HEADER
            return end
        self._expects = _OTHERS_CONTENT
        return 0

    def _take_delivery(self, data: bytes, start: int, stop: int, events: list[Event]) -> int:
        """Take the Basic.Deliver in ``data[start:stop]`` and, if they are there, its header and only body.

        The latter is a shortcut: whatever it leaves is taken, or refused by name, frame by frame.
        """
        number = self.number
        content = read_deliver(number, data, start, stop)
        at = stop + 1
        try:
            kind, channel, size, class_id, _, body_size = CONTENT_HEAD.unpack_from(data, at)
            body_at = at + FRAME_OVERHEAD_BYTES + size
            body_kind, body_channel, payload = FRAME_HEAD.unpack_from(data, body_at)
            start = body_at + FRAME_HEAD_BYTES
            end: int = start + payload
            if (
                payload == body_size
                and kind == HEADER_FRAME
                and body_kind == BODY_FRAME
                and channel == body_channel == number
                and data[end] == data[body_at - 1] == FRAME_END
                and class_id == BASIC_CLASS
                and 0 < payload <= self._max_body
                and payload <= self.max_payload >= size >= _MIN_CONTENT_BYTES
            ):
                content.raw_properties = data[at + FRAME_HEAD_BYTES + CONTENT_FIELDS_BYTES : body_at - 1]
                content.body = data[start:end]
                events.append(content)
                self._expects = _METHOD_ONLY
                return end + 1
        except (IndexError, struct_error):
            pass  # the rest has not arrived
        self._open = content
        self._expects = _OUR_HEADER
        return at

    def _take_header(
        self, content: Delivery | Return, data: bytes, at: int, end: int, events: list[Event]
    ) -> None:
        start, stop = at + FRAME_HEAD_BYTES, end - 1
        if stop - start < _MIN_CONTENT_BYTES:
            raise WireError(f"a content header of {stop - start} bytes on channel {self.number} is cut off")
        class_id, _, body_size = CONTENT_HEAD_FIELDS.unpack_from(data, start)
        if class_id != BASIC_CLASS:
            raise WireError(
                f"a content header on channel {self.number} is of class {class_id}, not 60 (basic)"
            )
        if body_size > self._max_body:
            raise WireError(
                f"a body of {body_size} bytes on channel {self.number} is longer than the {self._max_body} "
                "bytes allowed; the session ends. Raise the limit, or keep such messages from the queue"
            )
        content.raw_properties = data[start + CONTENT_FIELDS_BYTES : stop]
        self._remaining = body_size
        self._expects = _OUR_BODY
        if not body_size:
            self._close(content, b"", events)

    def _take_body(
        self, content: Delivery | Return, data: bytes, at: int, end: int, events: list[Event]
    ) -> None:
        start, stop = at + FRAME_HEAD_BYTES, end - 1
        self._remaining -= stop - start
        if self._remaining < 0:
            raise WireError(
                f"a body on channel {self.number} is {-self._remaining} bytes longer than its header said; "
                "the session ends"
            )
        if self._remaining:
            self.body += memoryview(data)[start:stop]
        elif self.body:
            self.body += memoryview(data)[start:stop]
            self._close(content, bytes(self.body), events)
            self.body = bytearray()
        else:
            self._close(content, data[start:stop], events)

    def _close(self, content: Delivery | Return, body: bytes, events: list[Event]) -> None:
        content.body = body
        events.append(content)
        self._open = None
        self._expects = _METHOD_ONLY
