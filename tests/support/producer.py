"""A producer that is not ours: pika, with properties of any bytes, which no library would write by itself."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

CONTENT_TYPE_FLAG = 1 << 15
HEADERS_FLAG = 1 << 13
CORRELATION_ID_FLAG = 1 << 10
TIMESTAMP_FLAG = 1 << 6


class RawProperties(pika.BasicProperties):  # type: ignore[misc]
    """Properties that go out as the bytes given, with the flags that say which they are."""

    def __init__(self, flags: int, encoded: bytes) -> None:
        super().__init__()
        self._flags, self._encoded = flags, encoded

    def encode(self) -> list[bytes]:
        """See pika: the pieces of the header frame's property list."""
        return [struct.pack(">H", self._flags), self._encoded]


def raw_headers(*fields: tuple[bytes, bytes]) -> RawProperties:
    """A header table of (name, kind and value as they are on the wire)."""
    table = b"".join(bytes([len(name)]) + name + value for name, value in fields)
    return RawProperties(HEADERS_FLAG, struct.pack(">I", len(table)) + table)


@contextmanager
def pika_channel(url: str) -> Iterator[BlockingChannel]:
    """Open a pika channel in confirm mode; a refused or returned publish raises."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


def publish_raw(url: str, exchange: str, body: bytes, properties: Any, routing_key: str = "card.eur") -> None:
    """Publish one body, mandatory, and wait for the confirm."""
    with pika_channel(url) as channel:
        channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)
