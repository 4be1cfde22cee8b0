"""FastStream: a subscriber that decodes by orjson and publishes to one exchange, on uvloop.

Its channel has confirms (its default) and raises what is returned; the delivery is acked once the handler has
ended well. Type conversion (``apply_types``) and logging are off, as its handler needs neither.

Usage: python -m benchmarks.peers.with_faststream URL PREFETCH
"""

import sys
from typing import Any, Final

import orjson
import uvloop
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

from benchmarks.harness import as_json
from benchmarks.peers.settings import Setting

NAME: Final = "FastStream"
DISTRIBUTION: Final = "faststream"
SOURCE: Final = "bench.in"
TARGET: Final = "bench.out"
SETTINGS: Final = [Setting(f"prefetch {n}", [str(n)]) for n in (1000, 300, 100)]
wrap = as_json


async def prepare(_url: str) -> None:
    """It takes plain messages from the relays' queue."""


async def decoded(message: RabbitMessage) -> Any:
    return orjson.loads(message.body)


def main(url: str, prefetch: int) -> None:
    channel = Channel(prefetch_count=prefetch, publisher_confirms=True, on_return_raises=True)
    broker = RabbitBroker(url, default_channel=channel, logger=None, apply_types=False)
    queue = RabbitQueue(SOURCE, declare=False)

    @broker.subscriber(queue, decoder=decoded, ack_policy=AckPolicy.NACK_ON_ERROR, no_reply=True)
    async def relay(payment: Any) -> None:
        await broker.publish(orjson.dumps(payment), "bench.key", TARGET, mandatory=True, persist=True)

    uvloop.run(FastStream(broker, logger=None).run())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
