"""What the integration tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stage import Stage, open_stage
from worker.local_broker import LocalBroker


@pytest.fixture
def journal(request: pytest.FixtureRequest) -> dict[str, str]:
    """The setting of the journal: one of the test's own, or none for a forgetful test."""
    return {"journal": "none"} if request.node.get_closest_marker("forgetful") else {}


@pytest.fixture
async def stage(
    broker: LocalBroker, prefix: str, tmp_path: Path, journal: dict[str, str]
) -> AsyncIterator[Stage]:
    """A topology, rules, a producer, processors and a journal that no other test has."""
    async with open_stage(broker.url, prefix, tmp_path, **journal) as opened:
        yield opened
