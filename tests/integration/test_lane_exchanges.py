"""One exchange's trouble on a lane: deleted under load, not to be written to, and what the others notice."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from yarl import URL

from tests.support.lane_rig import LANES, SOON, AnyLane, LaneRig, lane_rig
from worker.amqp.lane import CONFIRMED, Confirmation, Outgoing, Properties, Refused, Unknown
from worker.errors import AccessRefused, NoExchange, Unroutable
from worker.local_broker import LocalBroker


@pytest.fixture
async def rig(broker: LocalBroker, prefix: str) -> AsyncIterator[LaneRig]:
    """Queues on the shared node, and a second exchange that leads to the target."""
    async with lane_rig(broker.url, prefix) as made:
        await declare_other(made)
        yield made


def other(rig: LaneRig) -> str:
    return f"{rig.target}.other"


async def declare_other(rig: LaneRig) -> None:
    await rig.channel.exchange_declare(other(rig), exchange_type="topic")
    await rig.channel.queue_bind(rig.target, other(rig), "#")


def batch(rig: LaneRig, numbers: Iterator[int]) -> list[Outgoing]:
    """Forty publishes, in turn to the target's exchange and to the other one."""
    exchanges = [rig.target, other(rig)] * 20
    named = [(exchange, next(numbers)) for exchange in exchanges]
    return [Outgoing(exchange, "k", b"%d" % n, Properties(message_id=f"m{n}")) for exchange, n in named]


async def send_while_deleted(rig: LaneRig, lane: AnyLane) -> list[tuple[Outgoing, Confirmation]]:
    """Send from three tasks until the other exchange, deleted meanwhile, refuses or the lane ends."""
    numbers = itertools.count()
    sent: list[tuple[Outgoing, Confirmation]] = []

    async def send() -> None:
        while True:
            publishes = batch(rig, numbers)
            outcomes = await lane.send(publishes)
            sent.extend(zip(publishes, outcomes, strict=True))
            codes = {one.code for one in outcomes if isinstance(one, Refused)}
            if NoExchange.code in codes or Unknown(lane._ended or "") in outcomes:
                return

    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(send())
        await asyncio.sleep(0.05)
        await rig.channel.exchange_delete(other(rig))
    return sent


async def check_arrived(rig: LaneRig, sent: list[tuple[Outgoing, Confirmation]]) -> None:
    """What is called confirmed has arrived, and what is called refused has not."""
    arrived = set(await rig.arrived())
    assert {one.body for one, outcome in sent if outcome == CONFIRMED} <= arrived
    assert not {one.body for one, outcome in sent if isinstance(outcome, Refused)} & arrived


async def test_an_exchange_deleted_under_load_takes_no_other_confirms_with_it(rig: LaneRig) -> None:
    """Its own publishes are confirmed, unknown for a moment, then refused; every other one is confirmed."""
    lane = await rig.open("tap")
    sent = await send_while_deleted(rig, lane)
    assert lane._ended is None
    assert {outcome for one, outcome in sent if one.exchange == rig.target} == {CONFIRMED}
    own = [outcome for one, outcome in sent if one.exchange == other(rig)]
    assert all(one == CONFIRMED or isinstance(one, Refused) or one.again for one in own)
    refused = {one.code for one in own if isinstance(one, Refused)}
    assert refused - {Unroutable.code} == {NoExchange.code}  # its bindings go first
    await check_arrived(rig, sent)
    await declare_other(rig)
    assert await lane.send(batch(rig, itertools.count(10**6))) == [CONFIRMED] * 40
    await lane.close()


async def test_on_the_standard_lane_no_outcome_is_false(rig: LaneRig) -> None:
    """There, aiormq may write on a channel that has closed and so lose the connection; nobody is misled."""
    lane = await rig.open("standard")
    await check_arrived(rig, await send_while_deleted(rig, lane))
    await lane.close()


@pytest.mark.parametrize("name", LANES)
async def test_an_exchange_that_may_not_be_written_to_ends_the_lane_loudly(
    broker: LocalBroker, rig: LaneRig, prefix: str, name: str
) -> None:
    """A permission that was revoked is for an operator to mend: no retry hides it, and the name is said."""
    user = f"user-{prefix[-8:]}"
    ctl = broker.rabbitmqctl
    await asyncio.to_thread(ctl, "add_user", user, "secret")
    try:
        allowed = rf"^{rig.source}$|^{rig.target}$".replace(".", r"\.")
        await asyncio.to_thread(ctl, "set_permissions", user, "", allowed, ".*")
        lane = await rig.open(name, url=str(URL(broker.url).with_user(user).with_password("secret")))
        assert await lane.send(batch(rig, itertools.count())[:1]) == [CONFIRMED]
        (outcome,) = await lane.send([Outgoing(other(rig), "k", b"x", Properties(message_id="m-x"))])
        assert isinstance(outcome, Unknown)
        with pytest.raises(AccessRefused, match=f"access to exchange '{other(rig)}'"):
            await asyncio.wait_for(lane.take(1), SOON)
        await lane.close()
    finally:
        await asyncio.to_thread(ctl, "delete_user", user)
