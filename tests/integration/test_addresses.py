"""Several broker addresses: whichever answers is worked with, and another one when it goes."""

from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr
from yarl import URL

from tests.support.bodies import payment
from tests.support.proxy import proxy_to
from tests.support.stage import Stage
from worker.errors import AccessRefused, BrokerUnavailable
from worker.rabbitmq import free_ports
from worker.session import prepare_topology


def through(stage: Stage, *ports: int) -> SecretStr:
    """Addresses of the same broker by way of these ports."""
    return SecretStr(", ".join(str(URL(stage.url).with_port(port)) for port in ports))


async def test_address_that_does_not_answer_is_passed_over(stage: Stage) -> None:
    """Payments flow although nobody listens at the first address."""
    (nobody,) = free_ports(1)
    await stage.publish(payment())
    async with stage.working(amqp_url=through(stage, nobody, URL(stage.url).port or 0)):
        [dispatch] = await stage.dispatched()
    assert dispatch.json["payment_id"] == "pay-1"


async def test_worker_goes_to_another_address_when_its_own_goes(stage: Stage) -> None:
    """The session ends with its connection, and the next one is with whoever still answers."""
    port = URL(stage.url).port or 0
    async with AsyncExitStack() as gone, proxy_to(port) as second:
        first = await gone.enter_async_context(proxy_to(port))
        async with stage.working(amqp_url=through(stage, first.port, second.port)) as worker:
            await stage.publish(payment("by-the-first"))
            await stage.dispatched()
            assert (bool(first.links), bool(second.links)) == (True, False)
            await gone.aclose()
            await stage.publish(payment("by-the-second"))
            [dispatch] = await stage.dispatched()
    assert dispatch.json["payment_id"] == "by-the-second"
    assert worker.counts["dispatched"] == 2


async def test_every_address_that_fails_is_named(stage: Stage) -> None:
    """Who reads the one error knows which addresses were tried, and no password."""
    ports = free_ports(2)
    settings = stage.settings.model_copy(update={"amqp_url": through(stage, *ports)})
    with pytest.raises(BrokerUnavailable) as caught:
        await prepare_topology(settings, stage.table)
    assert all(f":{port}/" in str(caught.value) for port in ports)
    assert "guest:guest" not in str(caught.value)


async def test_refused_password_is_not_tried_elsewhere(stage: Stage) -> None:
    """It is wrong everywhere, and an operator has to hear of it."""
    wrong = str(URL(stage.url).with_password("wrong"))
    settings = stage.settings.model_copy(update={"amqp_url": SecretStr(f"{wrong},{stage.url}")})
    with pytest.raises(AccessRefused):
        await prepare_topology(settings, stage.table)
