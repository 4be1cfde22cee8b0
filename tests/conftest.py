"""What tests share: one private RabbitMQ node a session, and names that keep its tests apart.

Hypothesis keeps no time here: on a shared machine a slow draw is no finding. With ``CI`` set its examples are
the same every time; a failure prints what reproduces it.
"""

import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from hypothesis import HealthCheck, settings

from worker.local_broker import LocalBroker

if TYPE_CHECKING:
    from tests.support.databases import Databases

_LONGEST_PREFIX = 40

settings.register_profile(
    "shared-machine",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("shared-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fault suite."""
    group = parser.getgroup("faults")
    group.addoption("--faults", choices=("short", "whole"), default="short", help="how much of tests/faults")
    group.addoption(
        "--fault-seed",
        type=int,
        default=1 if os.environ.get("CI") else secrets.randbelow(2**32),
        help="repeats the chance of a run of tests/faults",
    )


class Connect(Protocol):
    """Opens a plain aio-pika connection that the fixture closes."""

    def __call__(self, url: str | None = None) -> Awaitable[AbstractConnection]: ...


@pytest.fixture(scope="session")
def broker() -> Iterator[LocalBroker]:
    """One private node for the whole session, started by the first test that asks (about 5 s).

    Tests share it: use `prefix` in every name, and never stop or block it. A test that does needs
    `LocalBroker()` of its own.
    """
    with LocalBroker() as node:
        yield node


@pytest.fixture(scope="session")
def databases() -> "Iterator[Databases]":
    """One private PostgreSQL server for the whole session, started by the first test that asks (about 3 s).

    Tests share it, each with a database of its own. A test that stops it needs a `LocalPostgresql()`.
    """
    from tests.support.databases import Databases  # with psycopg, which other tests can do without
    from worker.local_postgresql import LocalPostgresql

    with LocalPostgresql({"fsync": "off"}) as server:
        yield Databases(server)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A topology prefix that no other test has; it begins with the test's name, for the broker's logs."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:_LONGEST_PREFIX]
    return f"{name}-{uuid4().hex[:8]}"


@pytest.fixture
async def connect(broker: LocalBroker) -> AsyncIterator[Connect]:
    """Open aio-pika connections, to the shared node or to a given URL; they are closed after the test."""
    opened: list[AbstractConnection] = []

    async def open_connection(url: str | None = None) -> AbstractConnection:
        connection = await aio_pika.connect(url or broker.url)
        opened.append(connection)
        return connection

    yield open_connection
    for connection in reversed(opened):
        await connection.close()
