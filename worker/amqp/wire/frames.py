"""The layout of AMQP 0-9-1 frames and the numbers of the few methods the data plane speaks.

A frame is its kind (1 octet), its channel (2), the size of its payload (4), the payload and one end octet
(AMQP 0-9-1 specification, 4.2.3).
"""

from struct import Struct
from typing import Final

from worker.errors import WireError

METHOD_FRAME: Final = 1
HEADER_FRAME: Final = 2
BODY_FRAME: Final = 3
HEARTBEAT_FRAME: Final = 8

FRAME_END: Final = 0xCE
FRAME_END_BYTE: Final = b"\xce"
FRAME_HEAD_BYTES: Final = 7
FRAME_OVERHEAD_BYTES: Final = 8  # the head and the end octet: what frame_max counts besides the payload
MIN_FRAME_MAX_BYTES: Final = 4096  # frame-min-size of the specification
DEFAULT_FRAME_MAX_BYTES: Final = 131_072  # what RabbitMQ proposes unless configured otherwise

BASIC_CLASS: Final = 60
PUBLISH: Final = 0x003C_0028  # class 60 in the high half, the method in the low half
RETURN: Final = 0x003C_0032
DELIVER: Final = 0x003C_003C
ACK: Final = 0x003C_0050
REJECT: Final = 0x003C_005A
NACK: Final = 0x003C_0078

FRAME_HEAD: Final = Struct(">BHI")  # kind, channel, payload size
CONTENT_HEAD: Final = Struct(">BHIHHQ")  # a frame head, then class, weight and body size
CONTENT_HEAD_FIELDS: Final = Struct(">HHQ")  # class, weight, body size
CONTENT_FIELDS_BYTES: Final = CONTENT_HEAD_FIELDS.size
PROPERTY_FLAGS_BYTES: Final = 2
OCTETS: Final = tuple(bytes((octet,)) for octet in range(256))
U8: Final = Struct(">B")
U16: Final = Struct(">H")
U32: Final = Struct(">I")
U64: Final = Struct(">Q")


def check_channel(channel: int) -> None:
    """Refuse a channel number outside 1 to 65,535; channel 0 is the connection itself.

    Raises:
        WireError: The number is outside those bounds.
    """
    if not 1 <= channel <= 0xFFFF:
        raise WireError(f"channel {channel} cannot carry messages: channels are numbered from 1 to 65535")


def check_frame_max(frame_max: int) -> None:
    """Refuse a frame size, in bytes, below AMQP's minimum of 4,096; 0, which means no limit, is refused too.

    Raises:
        WireError: The size is below the minimum.
    """
    if frame_max < MIN_FRAME_MAX_BYTES:
        raise WireError(
            f"frame_max is {frame_max} bytes, but AMQP 0-9-1 allows no less than {MIN_FRAME_MAX_BYTES} and "
            f"the worker needs a limit; set RabbitMQ's frame_max (its default is {DEFAULT_FRAME_MAX_BYTES})"
        )
