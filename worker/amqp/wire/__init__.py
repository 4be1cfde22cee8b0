"""A pure codec for exactly the AMQP 0-9-1 frames the data plane needs: bytes in, values out, no I/O."""

from worker.amqp.wire.fields import LAST_READABLE_SECONDS, FieldValue, Timestamp
from worker.amqp.wire.frames import DEFAULT_FRAME_MAX_BYTES
from worker.amqp.wire.inbound import Confirm, Delivery, Event, Return
from worker.amqp.wire.outbound import PublishRoute, encode_ack, encode_nack, encode_reject
from worker.amqp.wire.properties import (
    Headers,
    Properties,
    decode_lane_properties,
    decode_properties,
    encode_properties,
)
from worker.amqp.wire.properties_encoder import PropertiesEncoder
from worker.amqp.wire.stencil import Stencil
from worker.amqp.wire.table_decoding import decode_table
from worker.amqp.wire.table_encoding import TableEncoder, encode_table, encode_value, join_table

__all__ = [
    "DEFAULT_FRAME_MAX_BYTES",
    "LAST_READABLE_SECONDS",
    "Confirm",
    "Delivery",
    "Event",
    "FieldValue",
    "Headers",
    "Properties",
    "PropertiesEncoder",
    "PublishRoute",
    "Return",
    "Stencil",
    "TableEncoder",
    "Timestamp",
    "decode_lane_properties",
    "decode_properties",
    "decode_table",
    "encode_ack",
    "encode_nack",
    "encode_properties",
    "encode_reject",
    "encode_table",
    "encode_value",
    "join_table",
]
