"""What the fault tests share: a seed that repeats a run, and a bench on the shared broker."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from yarl import URL

from tests.support.bench import Bench, open_bench
from tests.support.proxy import Proxy, proxy_to
from tests.support.worker_process import fork_server
from worker.local_broker import LocalBroker

ALSO_STANDARD = ("tap", pytest.param("standard", marks=pytest.mark.whole))
"""Both lanes in `make faults`, the fast one alone in `make test`."""
JOURNALS = ("sqlite", "postgresql")
Scale = Callable[[int, int], int]
"""Chooses between the number for the short form of the suite and that for the whole."""


@pytest.fixture(scope="session")
def workers() -> ForkServerContext:
    """Where worker processes are forked from."""
    return fork_server()


@pytest.fixture
def scale(pytestconfig: pytest.Config) -> Scale:
    """Numbers for `make test`, or for `make faults`."""
    whole = pytestconfig.getoption("--faults") == "whole"
    return lambda short, all_of_them: all_of_them if whole else short


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """All chance of a test. A failure shows the option that repeats it."""
    seed = request.config.getoption("--fault-seed")
    print(f"to repeat this: pytest --fault-seed {seed} {request.node.nodeid!r}")  # noqa: T201 - shown on failure
    return random.Random(f"{seed} {request.node.nodeid}")  # noqa: S311 - not for secrets


@pytest.fixture
def lane() -> str:
    """The lane that workers run on; a test of both is parametrized over ``lane``."""
    return "tap"


@pytest.fixture
def kept_in() -> str:
    """What the journal is kept in; a test of both is parametrized over ``kept_in``."""
    return "sqlite"


@pytest.fixture
def journal(request: pytest.FixtureRequest, tmp_path: Path, kept_in: str) -> Iterator[str]:
    """A journal's URL; none for a forgetful test."""
    if request.node.get_closest_marker("forgetful"):
        yield "none"
        return
    if kept_in == "sqlite":
        yield f"sqlite:///{tmp_path / 'journal.db'}"
        return
    with request.getfixturevalue("databases").new() as url:
        yield url


@pytest.fixture
async def bench(
    broker: LocalBroker,
    prefix: str,
    tmp_path: Path,
    workers: ForkServerContext,
    chance: random.Random,
    lane: str,
    journal: str,
) -> AsyncIterator[Bench]:
    """A bench on the broker that all tests share, which nothing may stop or block."""
    async with open_bench(
        broker.url, prefix, tmp_path, workers, chance, lane=lane, journal=journal
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
def node() -> Iterator[LocalBroker]:
    """A broker that fault tests may stop, kill and block, as long as they leave it well."""
    with LocalBroker() as started:
        yield started


@pytest.fixture
async def node_bench(
    node: LocalBroker,
    prefix: str,
    tmp_path: Path,
    workers: ForkServerContext,
    chance: random.Random,
    lane: str,
) -> AsyncIterator[Bench]:
    """A bench on that broker."""
    async with open_bench(node.url, prefix, tmp_path, workers, chance, lane=lane) as opened:
        yield opened


@pytest.fixture
async def proxy(bench: Bench) -> AsyncIterator[Proxy]:
    """A proxy between workers and the shared broker; the producer and the ledger do not use it."""
    async with proxy_to(URL(bench.url).port or 0) as started:
        yield started


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make faults` runs."""
    if config.getoption("--faults") != "whole":
        left_out = [item for item in items if item.get_closest_marker("whole")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
