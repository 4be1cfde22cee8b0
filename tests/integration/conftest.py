"""What the integration tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stage import Stage, open_stage
from worker.local_broker import LocalBroker


@pytest.fixture
async def stage(broker: LocalBroker, prefix: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A topology, rules, a producer and processors that no other test has."""
    async with open_stage(broker.url, prefix, tmp_path) as opened:
        yield opened
