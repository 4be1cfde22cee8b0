"""A dispatch that a processor gave back: whose it was, and the payment inside of it. Pure.

A connector gives a dispatch back by rejecting it, which dead-letters it, or by publishing it to the queue of
what was given back. Both say that the processor has not taken the payment and will not.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from schemas.dispatch import DISPATCH_ONLY_FIELDS
from worker.amqp.lane import Properties
from worker.errors import NotOurDispatch, OutcomeUnknown
from worker.planning import make_dispatch_id

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)  # numbers of any size, none converted


class GivenBack(NamedTuple):
    """What a dispatch says of itself. ``attempt`` counts the route's candidates from 1."""

    dispatch_id: str
    processor: str
    attempt: int
    routing_key: str
    """The payment's type and currency, under which producers publish."""
    payment: bytes
    """The payment's JSON, byte for byte but for the white space around it."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A delivery with the payment in place of the dispatch."""

    tag: int
    body: bytes
    exchange: str
    routing_key: str
    redelivered: bool
    properties: Properties


def read_given_back(body: bytes) -> GivenBack:
    """Read a dispatch.

    Raises:
        NotOurDispatch: it is none, or its dispatch id is not that of this payment at this processor.
    """
    try:
        document = orjson.loads(body)
        dispatch_id, processor = document["dispatch_id"], document["processor"]
        attempt, payment_id = document["attempt"], document["payment_id"]
        expected = make_dispatch_id(payment_id, processor)
        routing_key = f"{document['type']}.{document['amount']['currency'].lower()}"
        payment = b"{%b}" % _payment_members(body.decode()).encode()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NotOurDispatch("what came back is not the JSON of a dispatch, as processors get it") from None
    if dispatch_id != expected or type(attempt) is not int or attempt < 1:
        raise NotOurDispatch(
            f"the dispatch that came back has the id {dispatch_id!a:.80} and the attempt {attempt!a:.20};"
            f" payment {payment_id!a:.80} at {processor!a:.80} has the id {expected}; attempts count from 1"
        )
    return GivenBack(dispatch_id, processor, attempt, routing_key, payment)


def check_given_back(headers: Mapping[str, Any], own_queue: str) -> None:
    """See that the processor itself has given a message back, and not its inbox in the processor's stead.

    ``own_queue`` is where such messages come to; that it is mentioned says nothing about the processor.

    Raises:
        OutcomeUnknown: the inbox gave it up, so that the processor may have had it before.
    """
    deaths = headers.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, Mapping) and death.get("queue") != own_queue:
            if (reason := death.get("reason")) == "rejected":
                return
            raise OutcomeUnknown(
                f"the inbox {death.get('queue')!a:.130} gave the dispatch up ({reason!a:.40}): whoever reads"
                " it may have had it in hand before; ask the processor for this payment"
            )


def _payment_members(text: str) -> str:
    """Return those members of a JSON object that are the payment's own, as they are written."""
    kept: list[str] = []
    at = text.index("{")
    while text[at] != "}":
        start = at + 1
        name, at = _DECODER.raw_decode(text, _skip_space(text, start))
        _, at = _DECODER.raw_decode(text, _skip_space(text, _skip_space(text, at) + 1))
        at = _skip_space(text, at)
        if name not in DISPATCH_ONLY_FIELDS:
            kept.append(text[start:at])
    return ",".join(kept)


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
