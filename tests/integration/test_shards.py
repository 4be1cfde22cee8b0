"""Shards on a real broker: payments are spread, come back to their shard, and outlast another number."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bodies import payment, payment_fields
from tests.support.command import run_command
from tests.support.stage import Stage, eventually, open_stage
from worker.amqp.declaring import verify
from worker.amqp.topology import Names
from worker.bookkeeping.depths import read_depths
from worker.errors import TopologyMismatch
from worker.local_broker import LocalBroker
from worker.producer import open_producer
from worker.rules_file import load_rules
from worker.session import prepare_topology, topology_of
from worker.settings import Settings
from worker.source import names_of

MERCHANTS = tuple(f"merchant-{number}" for number in range(40))


@pytest.fixture
async def sharded(broker: LocalBroker, prefix: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage with three shards."""
    async with open_stage(broker.url, prefix, tmp_path, shards=3) as stage:
        yield stage


async def changed(stage: Stage, **settings: Any) -> Stage:
    """The stage with other settings, whose topology is declared."""
    stage.settings = stage.settings.model_copy(update=settings)
    await prepare_topology(stage.settings, stage.table)
    return stage


async def send(stage: Stage, count: int, start: int = 0, ordered_by: str | None = None) -> list[bytes]:
    """Publish payments of many merchants; return their bodies."""
    bodies = [
        payment(f"pay-{number}", merchant_id=MERCHANTS[number % len(MERCHANTS)])
        for number in range(start, start + count)
    ]
    async with open_producer(stage.url, exchange=stage.prefix, ordered_by=ordered_by) as producer:
        await producer.publish(bodies)
    return bodies


async def depths(stage: Stage) -> dict[str, int]:
    """How many payments wait in each queue of work."""
    return {queue: await stage.depth(queue) or 0 for queue in names_of(stage.settings).work}


async def ids(stage: Stage, count: int) -> Counter[str]:
    """The payments that have arrived at the processor."""
    return Counter(str(one.json["payment_id"]) for one in await stage.dispatched(count=count))


async def test_payments_are_spread_and_all_are_dispatched(sharded: Stage) -> None:
    """Every shard has its part, nothing waits beside them, and a worker empties all of them."""
    await send(sharded, 300)
    waiting = await depths(sharded)
    shards = [waiting[sharded.names.shard(number)] for number in range(3)]
    assert sum(shards) == 300
    assert min(shards) > 40
    assert waiting[sharded.names.incoming] == 0
    seen = await read_depths(sharded.connection, names_of(sharded.settings), sharded.settings.every_delay)
    assert (seen.incoming, seen.consumers) == (300, 0)
    async with sharded.working():
        assert await ids(sharded, 300) == Counter(f"pay-{number}" for number in range(300))
    assert await sharded.leftovers() == {}


async def test_delayed_payments_come_back_to_their_shard(sharded: Stage) -> None:
    """A delay queue has each payment under the name of the shard it was taken from, and it is dispatched."""
    await changed(sharded, delay_steps=(2.0,))
    await sharded.unbind("alpha")
    await send(sharded, 30)
    before = await depths(sharded)
    async with sharded.working(retry_in_process=0.0):
        await sharded.waits_in(sharded.names.delay(2.0), 30)
        await sharded.bind("alpha")
        keys = Counter[str]()
        letters = [await sharded.channel.basic_get(sharded.names.delay(2.0)) for _ in range(30)]
        for letter in letters:
            keys[str(letter.routing_key)] += 1
        await sharded.channel.basic_nack(letters[-1].delivery_tag or 0, multiple=True)
        assert keys == Counter({queue: count for queue, count in before.items() if count})
        assert sum((await ids(sharded, 30)).values()) == 30


async def test_a_redriven_payment_comes_to_a_shard(sharded: Stage) -> None:
    """It is spread like any other, and keeps its past."""
    async with sharded.working():
        await sharded.publish(payment("pay-bad", currency="EUX"))
        await sharded.waits_in(sharded.names.dead, 1)
    env = {"PAYMENT_WORKER_SHARDS": "3", "PAYMENT_WORKER_JOURNAL": "none"}
    options = ("--amqp-url", sharded.url, "--prefix", sharded.prefix)
    done = await asyncio.to_thread(run_command, "dead-letters", "redrive", "--yes", *options, env=env)
    assert done.returncode == 0, done.stderr
    waiting = await depths(sharded)
    assert waiting[sharded.names.incoming] == 0
    assert sum(waiting.values()) == 1
    async with sharded.working():
        (dead,) = await sharded.dead()
    assert dead.letter.redrives == 1


async def test_one_key_is_in_one_shard(broker: LocalBroker, prefix: str, tmp_path: Path) -> None:
    """With an order, all payments of a merchant are in one queue, which has one active consumer."""
    async with open_stage(broker.url, prefix, tmp_path, shards=3, ordered_by="merchant_id") as stage:
        used = set()
        for merchant in MERCHANTS[:8]:
            before = await depths(stage)
            async with open_producer(stage.url, exchange=prefix, ordered_by="merchant_id") as producer:
                await producer.publish(payment(f"{merchant}-{n}", merchant_id=merchant) for n in range(3))
            after = await depths(stage)
            (shard,) = [queue for queue in after if after[queue] != before[queue]]
            assert after[shard] == before[shard] + 3
            used.add(shard)
        assert len(used) > 1
        assert stage.names.incoming not in used
        queues = {queue.name: queue.arguments for queue in topology_of(stage.settings, stage.table).queues}
        assert all(queues[shard]["x-single-active-consumer"] for shard in used)


async def test_what_is_given_back_comes_to_the_shard_of_its_key(
    broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    """A payment that its processor gave back, and that has to wait, returns to where its producer sent it."""
    order: dict[str, Any] = {
        "shards": 3,
        "ordered_by": "merchant_id",
        "delay_steps": (1.0,),
        "retry_in_process": 0.0,
    }
    async with open_stage(broker.url, prefix, tmp_path, **order) as stage:
        wallet = payment_fields("pay-back") | {"type": "wallet", "merchant_id": "merchant-7"}
        async with open_producer(stage.url, exchange=prefix, ordered_by="merchant_id") as producer:
            await producer.publish([wallet])
        (home,) = [queue for queue, waiting in (await depths(stage)).items() if waiting]
        await stage.unbind("beta")  # where it would go next

        async def given_back() -> bool:
            message = await stage.channel.basic_get(stage.inbox_of("alpha"))
            if message.delivery_tag is None:
                return False
            await stage.channel.basic_reject(message.delivery_tag, requeue=False)
            return True

        async with stage.working():
            await eventually(given_back, "a dispatch to give back")
            await stage.waits_in(stage.names.delay(1.0), 1)
        await stage.waits_in(home, 1)


async def test_from_one_queue_to_shards_and_back(stage: Stage) -> None:
    """What waits in the queue of before is emptied, and new payments come to the queues of now."""
    await send(stage, 20)
    await changed(stage, shards=3)
    await send(stage, 40, start=20)
    waiting = await depths(stage)
    assert waiting.pop(stage.names.incoming) == 20
    assert sum(waiting.values()) == 40
    async with stage.working():
        assert sum((await ids(stage, 60)).values()) == 60

    await send(stage, 30, start=60)
    with pytest.raises(TopologyMismatch, match=rf"{stage.prefix}.incoming.0, .*RETIRED_SHARDS"):
        await changed(stage, shards=1)
    await changed(stage, shards=1, retired_shards=3)
    await send(stage, 10, start=90)
    waiting = await depths(stage)
    assert waiting.pop(stage.names.incoming) == 10
    assert sum(waiting.values()) == 30
    async with stage.working():
        assert sum((await ids(stage, 40)).values()) == 40
    for number in range(3):
        await stage.channel.queue_delete(stage.names.shard(number))
    await changed(stage, shards=1, retired_shards=0)
    await stage.channel.exchange_delete(f"{stage.prefix}.spread")


async def test_fewer_shards_leave_nothing_behind(sharded: Stage) -> None:
    """A shard that is not counted any more stops a start, by name; a retired one is only emptied."""
    await send(sharded, 60)
    with pytest.raises(TopologyMismatch, match=rf"{sharded.prefix}.incoming.2, of a time with more shards"):
        await changed(sharded, shards=2)
    with pytest.raises(TopologyMismatch, match="RETIRED_SHARDS"):
        await verify(sharded.connection, topology_of(sharded.settings, sharded.table))
    await changed(sharded, retired_shards=1)
    left = (await depths(sharded))[sharded.names.shard(2)]
    await send(sharded, 60, start=60)
    assert (await depths(sharded))[sharded.names.shard(2)] == left
    async with sharded.working():
        assert sum((await ids(sharded, 120)).values()) == 120


async def test_a_worker_goes_on_while_shards_are_added(sharded: Stage) -> None:
    """One of the settings before keeps its sessions, and loads rules, until it is replaced."""
    async with sharded.working() as worker:
        await changed(sharded, shards=4)
        await worker.use(sharded.table)
        await send(sharded, 40)
        await sharded.dispatched(count=40 - (await depths(sharded))[sharded.names.shard(3)])
    async with sharded.working():
        await sharded.waits_in(sharded.names.shard(3), 0)


async def test_an_order_needs_another_kind_of_shard(sharded: Stage) -> None:
    """Shards that were declared without an order are named when one is wanted."""
    with pytest.raises(TopologyMismatch, match=r"incoming.0 exists but differs.*x-single-active"):
        await changed(sharded, ordered_by="merchant_id")
    sharded.settings = sharded.settings.model_copy(update={"ordered_by": None})


class WithoutPlugin(LocalBroker):
    """A node on which nobody has enabled the plugin."""

    def _open(self) -> None:
        super()._open()
        (self.folder / "enabled_plugins").write_text("[].\n")


async def test_a_broker_without_the_plugin_is_told_so(prefix: str) -> None:
    """The error names the plugin and the command that enables it."""
    async with WithoutPlugin() as node:
        settings = Settings(amqp_url=node.url, prefix=prefix, shards=2)
        with pytest.raises(
            TopologyMismatch, match="rabbitmq-plugins enable rabbitmq_consistent_hash_exchange"
        ):
            await prepare_topology(settings, load_rules([Path("routing_rules/default.yaml")]))


def test_the_names_of_shards() -> None:
    """One shard without an order is the queue of always; everything else has numbered ones beside it."""
    assert Names("p").work == ("p.incoming",)
    assert Names("p", 2, 1).work == ("p.incoming.0", "p.incoming.1", "p.incoming.2", "p.incoming")
    assert names_of(Settings(prefix="p")).back == "p.incoming"
    assert names_of(Settings(prefix="p", ordered_by="merchant_id")).work == ("p.incoming.0", "p.incoming")
