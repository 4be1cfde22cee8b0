"""The byte stream of one connection, parted into what the data plane takes and what passes through.

Of the channels that are diverted, Basic.Deliver, Basic.Return, Basic.Ack and Basic.Nack with their contents
become events. Every other frame passes through byte for byte and in order: other channels, channel 0, and on
a diverted channel the answers to its owner (Channel.Close, Basic.Cancel, Basic.GetOk with its content).
"""

from typing import Final

from worker.amqp.wire.data_channel import DataChannel
from worker.amqp.wire.frames import (
    BODY_FRAME,
    DEFAULT_FRAME_MAX_BYTES,
    FRAME_END,
    FRAME_HEAD,
    FRAME_HEAD_BYTES,
    FRAME_OVERHEAD_BYTES,
    HEADER_FRAME,
    HEARTBEAT_FRAME,
    METHOD_FRAME,
    check_channel,
    check_frame_max,
)
from worker.amqp.wire.inbound import Event
from worker.errors import WireError

DEFAULT_MAX_BODY_BYTES: Final = 16 * 1024 * 1024  # RabbitMQ's own limit since 4.0
_KINDS: Final = frozenset((METHOD_FRAME, HEADER_FRAME, BODY_FRAME, HEARTBEAT_FRAME))
_PROTOCOL_HEADER: Final = b"AMQP"
_PROTOCOL_HEADER_BYTES: Final = 8


class Assembler:
    """Feed it what the socket gave, cut anywhere; it gives the events and the bytes that pass through.

    ``frame_max`` is the negotiated size of a whole frame, ``max_body_bytes`` the largest body taken. At most
    one incomplete frame for the connection and one incomplete body for each diverted channel are held.

    Raises:
        WireError: ``frame_max`` is below AMQP's minimum of 4,096 bytes.
    """

    __slots__ = ("_channels", "_error", "_max_body", "_max_payload", "_needed", "_pending", "_started")

    def __init__(
        self, *, frame_max: int = DEFAULT_FRAME_MAX_BYTES, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    ) -> None:
        check_frame_max(frame_max)
        self._max_payload = frame_max - FRAME_OVERHEAD_BYTES
        self._max_body: Final = max_body_bytes
        self._channels: Final[dict[int, DataChannel]] = {}
        self._pending: Final = bytearray()  # the beginning of a frame whose rest has not arrived
        self._needed = 0  # bytes in all before _pending is worth looking at again
        self._started = False
        self._error: WireError | None = None

    def limit_frames(self, frame_max: int) -> None:
        """Set the size in bytes that the connection has negotiated for a whole frame.

        Raises:
            WireError: It is below AMQP's minimum of 4,096 bytes.
        """
        check_frame_max(frame_max)
        self._max_payload = frame_max - FRAME_OVERHEAD_BYTES
        for channel in self._channels.values():
            channel.max_payload = self._max_payload

    def divert(self, channel: int) -> None:
        """Take deliveries, returns and confirms of the channel from now on; again is no change.

        Do it before the channel consumes or publishes: a content already under way passes through.

        Raises:
            WireError: The number is not that of a channel that can carry messages.
        """
        check_channel(channel)
        if channel not in self._channels:
            self._channels[channel] = DataChannel(channel, self._max_payload, self._max_body)

    def restore(self, channel: int) -> None:
        """Let everything of a channel pass through from now on, since it has closed."""
        self._channels.pop(channel, None)

    @property
    def held_bytes(self) -> int:
        """The bytes held for frames and bodies that are not complete."""
        return len(self._pending) + sum(len(channel.body) for channel in self._channels.values())

    def feed(self, data: bytes) -> tuple[list[Event], bytes]:
        """Give the events that are complete with ``data``, in order, and the whole frames that pass through.

        After an error nothing of the stream can be trusted: every later call raises it again.

        Raises:
            WireError: A frame lies about its size, is of unknown kind, lacks its end or comes out of turn,
                or a body is longer than allowed.
        """
        if self._error is not None:
            raise WireError(
                f"the byte stream is broken since an earlier error: {self._error}"
            ) from self._error
        pending = self._pending
        if pending:
            pending += data
            if len(pending) < self._needed:
                return [], b""
            data = bytes(pending)
            pending.clear()
        try:
            return self._part(data)
        except WireError as error:
            self._error = error
            raise

    def _part(self, data: bytes) -> tuple[list[Event], bytes]:
        """Walk the whole frames of ``data`` and keep the rest."""
        events: list[Event] = []
        passed: list[bytes] = []
        find, kinds, max_payload, size = self._channels.get, _KINDS, self._max_payload, len(data)
        at = run = 0  # the frame looked at; where the bytes that pass and are not in `passed` yet begin
        end = FRAME_HEAD_BYTES
        while at + FRAME_HEAD_BYTES <= size:
            kind, number, payload = FRAME_HEAD.unpack_from(data, at)
            if payload > max_payload or kind not in kinds:
                end = self._protocol_header_end(data, at, kind, payload)
            else:
                end = at + FRAME_OVERHEAD_BYTES + payload
            if end > size:
                break
            if data[end - 1] != FRAME_END and kind in _KINDS:
                raise WireError(
                    f"a frame of {payload} bytes on channel {number} ends in 0x{data[end - 1]:02x}, not in "
                    "0xce: its size is wrong or bytes are lost; the session ends"
                )
            channel = find(number)
            if channel is None:
                taken = 0
            elif kind == METHOD_FRAME:
                taken = channel.take_method(data, at, end, events)
            else:
                taken = channel.take_content(kind, data, at, end, events)
            if taken:
                if run < at:
                    passed.append(data[run:at])
                at = run = taken
            else:
                at = end
            end = at + FRAME_HEAD_BYTES
        return events, self._keep_rest(data, at, run, end - at, passed)

    def _keep_rest(self, data: bytes, at: int, run: int, needed: int, passed: list[bytes]) -> bytes:
        """Hold the bytes from ``at`` on until there are ``needed``; give all that pass before them."""
        self._started = self._started or at > 0
        if at < len(data):
            self._pending.extend(memoryview(data)[at:])
            self._needed = needed
        elif run == 0 and not passed:
            return data
        if run < at:
            passed.append(data[run:at])
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def _protocol_header_end(self, data: bytes, at: int, kind: int, payload: int) -> int:
        """Give the end of the version header with which a broker refuses ours, instead of any frame.

        It passes through, so that the connection's owner can tell the user.

        Raises:
            WireError: It is something else: no frame at all.
        """
        if at == 0 and not self._started and data.startswith(_PROTOCOL_HEADER):
            return _PROTOCOL_HEADER_BYTES
        if kind not in _KINDS:
            raise WireError(
                f"a frame begins with kind {kind}; AMQP 0-9-1 has 1 (method), 2 (header), 3 (body) and 8 "
                "(heartbeat): the stream is out of step; the session ends"
            )
        raise WireError(
            f"a frame says it has {payload} bytes, but at most {self._max_payload} fit the negotiated frame "
            "size: the peer breaks the protocol, or the stream is damaged; the session ends"
        )
