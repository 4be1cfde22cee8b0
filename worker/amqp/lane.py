"""The lane: the data plane's protocol, batch-wise, whatever carries it.

``take`` deliveries, ``send`` publishes and learn what became of each, ``settle`` deliveries by their tags.
A lane belongs to one session and dies with it; nothing in it is repaired.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias


@dataclass(slots=True)
class Properties:
    """The AMQP 0-9-1 basic properties the worker reads or writes; ``timestamp`` in seconds since 1970."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    app_id: str | None = None


@dataclass(slots=True)
class EncodedProperties:
    """Basic properties as they go over the wire, delivery mode 2 included; a ``Stencil`` makes them."""

    message_id: str
    raw: bytes


class Delivery(Protocol):
    """One hand-over of a message by the broker. ``properties`` may be decoded only when asked for."""

    @property
    def tag(self) -> int:
        """The delivery tag, valid on this lane only."""

    @property
    def body(self) -> bytes:
        """The message's bytes as the producer wrote them."""

    @property
    def exchange(self) -> str:
        """The exchange the message was published to last."""

    @property
    def routing_key(self) -> str:
        """The routing key the message was published under last."""

    @property
    def redelivered(self) -> bool:
        """Whether the broker has handed this message over before."""

    @property
    def properties(self) -> Properties:
        """The basic properties, headers included."""


@dataclass(slots=True)
class Outgoing:
    """One publish, always persistent and mandatory. ``properties.message_id`` is unique per publish."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Properties | EncodedProperties


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker has taken responsibility for the publish."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker has definitely not taken it. ``code`` is an error code, ``reason`` the broker's words."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows: the channel ended, the confirm never came.

    With ``again`` only the exchange's own channel has ended, and the same publish may be sent to the same
    exchange again; otherwise the lane has ended or is about to.
    """

    reason: str
    again: bool = False


CONFIRMED = Confirmed()
Confirmation: TypeAlias = Confirmed | Refused | Unknown


class Lane(Protocol):
    """What the pipeline asks of a data plane."""

    async def take(self, max_deliveries: int) -> Sequence[Delivery]:
        """Wait for at least one delivery and return all that wait, at most ``max_deliveries``.

        Returns nothing once the intake has stopped and everything that had arrived was taken.

        Raises:
            BrokerUnavailable: the lane has ended.
        """

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Confirmation]:
        """Publish all of ``batch``, pipelined, and return what became of each, in the same order.

        Cancelling it makes every unfinished outcome unknown and ends the lane.
        """

    async def settle(self, tags: Iterable[int], *, at_once: bool = False) -> None:
        """Acknowledge deliveries whose replacement is confirmed, each tag at most once.

        An acknowledgement may wait for others, to go with them, unless it is to be written ``at_once``.
        """

    async def stop_intake(self) -> None:
        """Ask the broker for no more deliveries; what has arrived can still be taken."""

    async def close(self) -> None:
        """Flush the acknowledgements and end the lane; whatever was not settled goes back to the broker."""
