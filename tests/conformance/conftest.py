"""The event loop that workers run on, and a journal of each kind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.support.journals import JournalRig, journal_rig


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Uvloop alone: its transports and timing differ from asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["memory", "sqlite", "sqlite, indexed at once", "postgresql"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournalRig]:
    """A new journal of each backend."""
    databases = request.getfixturevalue("databases") if request.param == "postgresql" else None
    async with journal_rig(request.param, tmp_path, databases) as rig:
        yield rig
