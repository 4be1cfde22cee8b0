"""Row 3: a cluster of three loses the leader, is parted, and is restarted node by node, all under load.

At last with everything that several machines have: three nodes, three shards, a worker on each, one journal.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.bench import Bench, open_bench
from tests.support.cluster import Cluster, Member, three_nodes
from tests.support.databases import Databases
from tests.support.proxy import Proxy, proxy_to
from tests.support.stage import eventually

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes, as long as each test leaves all of them running."""
    with three_nodes() as formed:
        yield formed


@pytest.fixture
async def balancer(cluster: Cluster) -> AsyncIterator[Proxy]:
    """Where everybody connects; it leads to the first node until a test says otherwise."""
    async with proxy_to(cluster.members[0].port) as proxy:
        yield proxy


@pytest.fixture
async def cluster_bench(
    balancer: Proxy, prefix: str, tmp_path: Path, workers: ForkServerContext, chance: random.Random
) -> AsyncIterator[Bench]:
    """A bench on the cluster, whose queues are led by the first node, where they were declared."""
    url = f"amqp://guest:guest@127.0.0.1:{balancer.port}/"
    async with open_bench(url, prefix, tmp_path, workers, chance, confirm_timeout=5.0) as opened:
        yield opened


@pytest.fixture
async def spread_bench(
    balancer: Proxy,
    databases: Databases,
    prefix: str,
    tmp_path: Path,
    workers: ForkServerContext,
    chance: random.Random,
) -> AsyncIterator[Bench]:
    """A bench on the cluster with shards, and with a journal that workers of several machines share."""
    url = f"amqp://guest:guest@127.0.0.1:{balancer.port}/"
    with databases.new() as journal:
        async with open_bench(
            url, prefix, tmp_path, workers, chance, confirm_timeout=5.0, shards=3, journal=journal
        ) as opened:
            yield opened


async def all_run(cluster: Cluster) -> None:
    """Wait until every member is in the cluster again."""

    async def there() -> bool:
        return len(await asyncio.to_thread(lambda: cluster.running)) == len(cluster.members)

    await eventually(there, "all members in the cluster", 90)


async def test_a_leader_that_dies_takes_nothing_with_it(
    cluster_bench: Bench, cluster: Cluster, balancer: Proxy
) -> None:
    """What the cluster has confirmed is known to two nodes at least: either of them goes on."""
    bench, leader = cluster_bench, cluster.members[0]
    worker = bench.start()
    async with bench.load.streaming(per_second=100):
        await bench.arrives(50)
        await asyncio.to_thread(leader.kill)
        balancer.target = cluster.members[1].port
        await worker.in_session(2)
        await bench.arrives(len(bench.load.sent) + 50)
    await asyncio.to_thread(leader.start)
    await all_run(cluster)
    await bench.drained()


@pytest.mark.parametrize("place", [0, 2], ids=["leader", "follower"])
async def test_a_parted_minority_confirms_nothing(
    cluster_bench: Bench, cluster: Cluster, balancer: Proxy, place: int
) -> None:
    """A node that is cut off with the worker on it goes out of service; the others have every payment."""
    bench, alone = cluster_bench, cluster.members[place]
    balancer.target = alone.port
    worker = bench.start()
    async with bench.load.streaming(per_second=100):
        await bench.arrives(50)
        await asyncio.to_thread(cluster.part, alone)
        balancer.target = cluster.members[1].port
        await worker.in_session(2)
        await bench.arrives(len(bench.load.sent) + 50)
    await asyncio.to_thread(cluster.heal, alone)
    await all_run(cluster)
    await bench.drained()


async def test_a_rolling_restart_is_hardly_noticed(
    cluster_bench: Bench, cluster: Cluster, balancer: Proxy
) -> None:
    """Node after node stops and starts again, and the load goes on."""
    bench = cluster_bench
    bench.start()
    async with bench.load.streaming(per_second=100):
        for place, member in enumerate(cluster.members):
            await bench.arrives(len(bench.load.sent) + 30)
            await asyncio.to_thread(restart, member, balancer, cluster.members[place - 1])
            await all_run(cluster)
    await bench.drained()


def restart(member: Member, balancer: Proxy, other: Member) -> None:
    """Restart one node while everybody is led to another."""
    balancer.target = other.port
    member.restart()


async def test_a_node_and_a_worker_are_not_missed(
    spread_bench: Bench, cluster: Cluster, balancer: Proxy
) -> None:
    """With a worker on each of three nodes, a node dies, then another one's worker: the books balance."""
    bench = spread_bench
    urls = [member.url for member in cluster.members]
    team = [
        bench.start(amqp_url=SecretStr(",".join((*urls[place:], *urls[:place]))))
        for place in range(len(urls))
    ]
    for worker in team:
        await worker.in_session()
    async with bench.load.streaming(per_second=100):
        await bench.arrives(100)
        await asyncio.to_thread(cluster.members[0].kill)
        balancer.target = cluster.members[1].port
        await team[0].in_session(2)  # at the next address
        await bench.arrives(len(bench.load.sent) + 50)
        team[1].kill()
        assert await team[1].ended() == -9
        await bench.arrives(len(bench.load.sent) + 50)
    await asyncio.to_thread(cluster.members[0].start)
    await all_run(cluster)
    await bench.drained()
