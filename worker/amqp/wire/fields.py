"""The types of header fields: what AMQP field tables carry, as Python values.

They are those of RabbitMQ's ``rabbit_binary_parser`` and ``rabbit_binary_generator`` and of its page on the
AMQP 0-9-1 errata. An encoded table is its length in bytes (4 octets), then its fields: the name as a short
string, one octet for the type, the value.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from struct import Struct
from typing import Final, TypeAlias

MAX_DEPTH: Final = 32  # tables and arrays in one another; x-death, RabbitMQ's deepest, needs three
MAX_SHORT_STRING_BYTES: Final = 255
I64: Final = Struct(">q")
DOUBLE: Final = Struct(">d")
DECIMAL: Final = Struct(">Bi")  # scale and digits: signed, as the specification's text and clients have it


LAST_READABLE_SECONDS: Final = 253_402_300_799
"""The end of the year 9999, after which most clients cannot read a time."""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time no datetime reaches: unsigned seconds since 1970, after the year 9999."""

    seconds: int


Scalar: TypeAlias = bool | int | float | Decimal | str | bytes | datetime | Timestamp | None
FieldValue: TypeAlias = "Scalar | list[FieldValue] | dict[str, FieldValue]"
