"""The topology: declared twice, checked, refused where it differs, and made again when it was deleted."""

import asyncio
import contextlib
from collections import Counter

import pytest
from aiormq.exceptions import PublishError
from structlog.testing import capture_logs

from tests.support.bodies import payment
from tests.support.stage import Stage, counts, eventually
from worker.amqp.declaring import declare, verify
from worker.amqp.topology import KEEP_FOR_EVER
from worker.errors import TopologyMismatch
from worker.session import Worker, prepare_topology, topology_of


async def test_topology_can_be_declared_again(stage: Stage) -> None:
    """Declaring what exists already changes nothing and loses no message."""
    await stage.publish(payment())
    topology = topology_of(stage.settings, stage.table)
    await declare(stage.connection, topology)
    await declare(stage.connection, topology)
    assert await stage.depth(stage.names.incoming) == 1


async def test_declared_topology_is_verified(stage: Stage) -> None:
    """What ``declare`` has made is all that ``verify`` asks for."""
    await verify(stage.connection, topology_of(stage.settings, stage.table))


async def test_verify_names_everything_that_is_missing(stage: Stage) -> None:
    """Operators learn of every missing object at once, and how to create them; none is created."""
    missing = (stage.names.dead, stage.inbox_of("beta"))
    for queue in missing:
        await stage.channel.queue_delete(queue)
    await stage.channel.exchange_delete(stage.exchange_of("alpha"))
    with pytest.raises(TopologyMismatch) as caught:
        await verify(stage.connection, topology_of(stage.settings, stage.table))
    text = str(caught.value)
    for name in (*(f"queue {queue}" for queue in missing), f"exchange {stage.exchange_of('alpha')}"):
        assert name in text
    assert text.count(stage.prefix) == 3
    assert "topology declare" in text
    assert await stage.depth(stage.names.dead) is None


@pytest.mark.parametrize("arguments", [{"x-queue-type": "classic"}, {"x-queue-type": "quorum"}])
async def test_queue_declared_differently_is_refused_in_one_line(
    stage: Stage, arguments: dict[str, str]
) -> None:
    """The error names the queue and what to do, on one line, and leaves the queue as it is."""
    incoming = stage.names.incoming
    await stage.channel.queue_delete(incoming)
    await stage.channel.queue_declare(incoming, durable=True, arguments=dict(arguments))
    with pytest.raises(TopologyMismatch) as caught:
        await prepare_topology(stage.settings, stage.table)
    text = str(caught.value)
    assert incoming in text
    assert "PRECONDITION_FAILED" in text
    assert "--prefix" in text
    assert "\n" not in text
    assert await stage.depth(incoming) == 0


async def test_inbox_of_another_prefix_is_explained(stage: Stage) -> None:
    """Two prefixes cannot share processors, nor could a third one: the error says what helps."""
    await prepare_topology(stage.settings, stage.table)
    other = stage.settings.model_copy(update={"prefix": f"{stage.prefix}-other"})
    with pytest.raises(TopologyMismatch, match="exists but differs") as caught:
        await prepare_topology(other, stage.table)
    text = str(caught.value)
    assert stage.inbox_of("alpha") in text
    assert "another --prefix cannot help" in text
    assert "virtual host" in text
    assert "choose another --prefix" not in text


async def test_exchange_declared_differently_is_refused(stage: Stage) -> None:
    """An exchange of another kind would route otherwise, so the worker does not start on it."""
    await stage.channel.exchange_delete(stage.prefix)
    await stage.channel.exchange_declare(stage.prefix, exchange_type="fanout", durable=True)
    with pytest.raises(TopologyMismatch, match=f"exchange {stage.prefix} exists but differs"):
        await prepare_topology(stage.settings, stage.table)


async def test_dead_letters_can_be_looked_at_without_end(stage: Stage) -> None:
    """Putting a message back never makes the broker drop it, whatever its default delivery limit."""
    names = stage.names
    queues = {queue.name: queue for queue in topology_of(stage.settings, stage.table).queues}
    for name in (names.dead, stage.inbox_of("alpha"), stage.inbox_of("beta")):
        assert queues[name].arguments["x-delivery-limit"] == KEEP_FOR_EVER


async def test_what_a_queue_gives_up_has_a_queue_to_go_to(stage: Stage) -> None:
    """Whatever expires, is rejected or exceeds a limit is routed: the broker keeps it and drops nothing."""
    topology = topology_of(stage.settings, stage.table)
    bound = {binding for queue in topology.queues for binding in queue.bindings}
    for queue in topology.queues:
        exchange, key = (queue.arguments.get(f"x-dead-letter-{name}") for name in ("exchange", "routing-key"))
        if queue.name == stage.names.dead:
            assert exchange is None
        elif queue.name.startswith(f"{stage.prefix}.delay."):
            assert (exchange, key) == (stage.names.returns, None)
        else:
            assert (exchange, key) in bound or (exchange, "#") in bound


async def test_every_queue_is_a_quorum_queue_that_rejects_rather_than_drops(stage: Stage) -> None:
    """No queue of the topology may lose a message to a crash or to a limit."""
    for queue in topology_of(stage.settings, stage.table).queues:
        assert queue.arguments["x-queue-type"] == "quorum"
        assert queue.arguments["x-overflow"] == "reject-publish"
        if "x-dead-letter-exchange" in queue.arguments:
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"


async def _goes_on(stage: Stage, worker: Worker) -> None:
    """Publish until a payment is dispatched by a session after the one that ended."""

    async def taken() -> bool:
        with contextlib.suppress(PublishError):  # the queue is not there yet, or not bound yet
            await stage.publish(payment("after"))
            return True
        return False

    await eventually(taken, "the incoming queue is back and bound")
    [dispatch] = await stage.dispatched()
    assert dispatch.json["payment_id"] == "after"
    assert worker.counts["dispatched"] >= 1


async def test_deleted_queue_ends_the_session_and_the_next_declares_it_again(stage: Stage) -> None:
    """A consumer that the broker cancels does not leave the worker connected and deaf."""
    async with stage.working(topology="declare") as worker:
        await stage.publish(payment("before"))
        await stage.dispatched()
        await stage.channel.queue_delete(stage.names.incoming)
        await _goes_on(stage, worker)
    assert worker.counts == Counter(dispatched=2)


async def test_deleted_processor_exchange_is_declared_again(stage: Stage) -> None:
    """In the same session: what was refused meanwhile is dispatched afterwards."""
    with capture_logs() as logs:
        async with stage.working(topology="declare", retry_in_process=5.0) as worker:
            await stage.publish(payment("before"))
            await stage.dispatched()
            await stage.channel.exchange_delete(stage.exchange_of("alpha"))
            await stage.publish(payment("after"))
            [dispatch] = await stage.dispatched()
    assert dispatch.json["payment_id"] == "after"
    assert worker.counts["dispatched"] == 2
    assert await stage.leftovers() == {}
    events = Counter((line["event"], line.get("queue")) for line in logs)
    assert events["session started", stage.names.incoming] == 1
    assert events["exchange is missing", None] == 1


@pytest.mark.parametrize("lane", ["tap", "standard"])
async def test_missing_processor_exchange_costs_nobody_else_anything(stage: Stage, lane: str) -> None:
    """Where operators own the topology: its payments go to the fallback or wait, others pass by it."""
    await stage.channel.exchange_delete(stage.exchange_of("alpha"))
    with capture_logs() as logs:
        async with stage.working(lane=lane, retry_in_process=30.0) as worker:
            await stage.publish(payment("waits"))
            for number in range(20):
                await stage.publish(payment(f"w-{number}", type="wallet"), "wallet.eur")
            await stage.dispatched("beta", 20)
            await counts(worker, dispatched=20)
            await stage.channel.exchange_declare(
                stage.exchange_of("alpha"), exchange_type="topic", durable=True
            )
            await stage.bind("alpha")
            [dispatch] = await stage.dispatched("alpha")
    assert dispatch.json["payment_id"] == "waits"
    assert await stage.leftovers() == {}
    events = Counter((line["event"], line.get("queue")) for line in logs)
    assert events["session started", stage.names.incoming] == 1
    assert events["exchange is missing", None] >= 1


async def test_verifying_worker_refuses_to_go_on_without_its_queue(stage: Stage) -> None:
    """Where operators own the topology, a worker whose queue was deleted stops and says which."""
    settings = stage.settings.model_copy(update={"topology": "verify"})
    worker = Worker(settings, stage.table, stage.tracer)
    running = asyncio.create_task(worker.run())
    await stage.publish(payment())
    await stage.dispatched()
    await stage.channel.queue_delete(stage.names.incoming)
    with pytest.raises(TopologyMismatch, match=rf"no queue {stage.names.incoming}"):
        await asyncio.wait_for(running, 20)
