"""A publishing channel for each exchange, so that one that closes takes no other's confirms with it.

A publish to an exchange that does not exist makes the broker close the channel, and every confirm that was
still to come on it is lost. So each exchange has a channel of its own, opened when it is first needed, and
the exchange is looked for before anything is published: one that is missing costs nobody else anything.

A channel can be what is wrong. RabbitMQ 3.10 goes on refusing on one that was first used while its queue had
no leader, or that was refused before the queue's length limit was removed, and takes what others publish. So
a channel on which a publish was refused is replaced once it is idle.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity

from worker.amqp.connection import explain_closing, open_channel
from worker.amqp.lane import Refused
from worker.errors import BrokerUnavailable, NoExchange

OutletT = TypeVar("OutletT")
REPLACE_SECONDS: Final = 1.0
"""How old a channel is at least when it is replaced: a full queue must not cost a channel a publish."""


class Outlets(Generic[OutletT]):
    """The open outlets of a connection, by exchange.

    ``attach`` makes the lane's own of an open channel; ``is_idle`` says whether all publishes are answered.
    """

    def __init__(
        self,
        connection: Callable[[], AbstractConnection],
        attach: Callable[[str, Channel], OutletT],
        is_idle: Callable[[OutletT], bool],
    ) -> None:
        self._connection, self._attach, self._is_idle = connection, attach, is_idle
        self._open: dict[str, OutletT] = {}
        self._channels: dict[str, tuple[Channel, float]] = {}  # with the loop's time when it was opened
        self._refusing: set[str] = set()
        self._closing: set[asyncio.Future[None]] = set()  # asyncio itself keeps no task alive
        self._opening: dict[str, asyncio.Task[Refused | None]] = {}
        self._missing: set[str] = set()
        self._found_missing = asyncio.Event()

    def __getitem__(self, exchange: str) -> OutletT:
        return self._open[exchange]

    def __iter__(self) -> Iterator[OutletT]:
        return iter(list(self._open.values()))

    def forget(self, exchange: str, outlet: OutletT) -> bool:
        """Let go of an outlet whose channel has closed; False when it was let go of before."""
        return self._open.get(exchange) is outlet and self._open.pop(exchange) is outlet

    def note_refusal(self, exchange: str) -> None:
        """Note that the broker answered a publish with a nack: the channel will be replaced."""
        self._refusing.add(exchange)

    async def missing(self) -> set[str]:
        """Wait for exchanges that were looked for and were not there; each is told once for each time."""
        await self._found_missing.wait()
        self._found_missing.clear()
        found, self._missing = self._missing, set()
        return found

    async def need(self, exchanges: Iterable[str]) -> dict[str, Refused]:
        """Open what is not open yet; return why for the exchanges that cannot be published to.

        When it returns, every exchange has an open outlet or is refused.

        Raises:
            BrokerUnavailable: the connection has ended.
        """
        wanted = set(exchanges)
        if self._refusing:
            for exchange in wanted & self._refusing:
                self._replace(exchange)
        refused: dict[str, Refused] = {}
        while unopened := wanted - self._open.keys() - refused.keys():
            answers = await asyncio.gather(*(asyncio.shield(self._opened(name)) for name in unopened))
            refused |= {name: answer for name, answer in zip(unopened, answers, strict=True) if answer}
        return refused

    def _replace(self, exchange: str) -> None:
        """Close the channel of an exchange, so that another is opened, unless it is young or in use."""
        outlet = self._open.get(exchange)
        channel, opened_at = self._channels[exchange]
        old_enough = asyncio.get_running_loop().time() >= opened_at + REPLACE_SECONDS
        if outlet is not None and old_enough and self._is_idle(outlet):
            del self._open[exchange]
            closing = asyncio.ensure_future(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._note_closed)

    def _note_closed(self, closing: "asyncio.Future[None]") -> None:
        self._closing.discard(closing)
        if not closing.cancelled():
            closing.exception()  # it is gone, one way or the other

    def _opened(self, exchange: str) -> "asyncio.Task[Refused | None]":
        """Return the one attempt under way to open an outlet."""
        if exchange not in self._opening:
            task = asyncio.ensure_future(self._try_to_open(exchange))
            self._opening[exchange] = task
            task.add_done_callback(lambda done: self._note_opened(exchange, done))
        return self._opening[exchange]

    def _note_opened(self, exchange: str, task: "asyncio.Task[Refused | None]") -> None:
        del self._opening[exchange]
        if not task.cancelled():
            task.exception()  # whoever waits for it learns of it; perhaps nobody does any more

    async def _try_to_open(self, exchange: str) -> Refused | None:
        try:
            channel = await open_channel(self._connection())
            if exchange:  # the default exchange is always there, and may not be asked for
                await channel.exchange_declare(exchange, passive=True)
        except ChannelNotFoundEntity:
            self._missing.add(exchange)
            self._found_missing.set()
            return Refused(NoExchange.code, f"the broker has no exchange {exchange}")
        except (AMQPError, OSError, RuntimeError) as error:  # aiormq raises RuntimeError on what has closed
            reason = explain_closing(error)
            raise BrokerUnavailable(f"cannot open a channel to publish to {exchange}: {reason}") from error
        self._open[exchange] = self._attach(exchange, channel)
        self._channels[exchange] = (channel, asyncio.get_running_loop().time())
        self._refusing.discard(exchange)
        return None
