"""Row 15: the broker takes back what a worker has held for too long."""

from collections.abc import Iterator

import pytest

from tests.faults.conftest import ALSO_STANDARD
from tests.support.bench import Bench
from worker.amqp.paired import ACK_SECONDS
from worker.local_broker import LocalBroker


@pytest.fixture(autouse=True, scope="module")
def impatient(node: LocalBroker) -> Iterator[None]:
    """The broker looks every half second whether a delivery has been held for longer than acks may wait."""
    set_timeouts = (
        "application:set_env(rabbit, consumer_timeout, {}),"
        "application:set_env(rabbit, channel_tick_interval, {})."
    ).format
    node.rabbitmqctl("eval", set_timeouts(round(3000 * ACK_SECONDS), 500))
    yield
    node.rabbitmqctl("eval", set_timeouts(1_800_000, 60_000))


@pytest.mark.parametrize("lane", ALSO_STANDARD)
async def test_a_consumer_that_is_timed_out_starts_anew(node_bench: Bench) -> None:
    """What is held while nothing takes it is taken back; mended, it arrives. What has passed stays passed.

    RabbitMQ closes the channel with a reason; from 4.3 on it cancels the consumer without one.
    """
    bench = node_bench
    await bench.unbind("alpha")
    await bench.unbind_delays()
    worker = bench.start()
    await bench.publish(10, "card")
    await bench.publish(20, "voucher")
    await worker.in_session(2)
    assert "timed out" in worker.log or "longer than its consumer_timeout" in worker.log
    await bench.declare()
    await bench.drained(repeats=False)
