"""The properties of many alike messages: encoded once, with blanks for what differs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from worker.amqp import lane
from worker.amqp.wire.properties import encode_properties
from worker.errors import MalformedProperties

_CORRELATION_ID: Final = "<correlation id>"
_MESSAGE_ID: Final = "<message id>"
_LONGEST_ID: Final = 255


class Stencil:
    """Properties in which only some headers, the correlation id and the message id are still blank.

    ``blanks`` has those headers' names, in order, and the length of the text that each will have. They come
    behind the headers of ``properties``. What goes into a blank is ASCII.
    """

    __slots__ = ("_length", "_template")

    def __init__(self, properties: lane.Properties, blanks: Mapping[str, int]) -> None:
        marks = {name: f"<{name}>".ljust(length, "~") for name, length in blanks.items()}
        encoded = encode_properties(
            replace(
                properties,
                headers={**properties.headers, **marks},
                correlation_id=_CORRELATION_ID,
                message_id=_MESSAGE_ID,
            )
        )
        template = encoded.decode("latin-1").replace("%", "%%")
        for mark in marks.values():
            template = template.replace(mark, "%s")
        for mark in (_CORRELATION_ID, _MESSAGE_ID):
            template = template.replace(chr(len(mark)) + mark, "%c%s")
        self._template: Final = template
        self._length: Final = len(encoded) - len(_CORRELATION_ID) - len(_MESSAGE_ID)

    def fill(self, texts: tuple[str, ...], correlation_id: str, message_id: str) -> lane.EncodedProperties:
        """Give the properties with every blank filled; ``texts`` are the headers'.

        Raises:
            MalformedProperties: An id is longer than 255 characters, or something is not ASCII or has another
                length than its blank.
        """
        ids = len(correlation_id), len(message_id)
        if max(ids) > _LONGEST_ID:
            raise MalformedProperties(f"an id of {max(ids)} characters; AMQP has room for {_LONGEST_ID}")
        filled = self._template % (*texts, ids[0], correlation_id, ids[1], message_id)
        plain = "".join((*texts, correlation_id, message_id)).isascii()
        if len(filled) != self._length + sum(ids) or not plain:
            raise MalformedProperties("a header does not have the length of its blank, or is not ASCII")
        return lane.EncodedProperties(message_id, filled.encode("latin-1"))
