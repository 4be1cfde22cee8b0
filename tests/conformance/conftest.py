"""Lanes are tested on the event loop that workers run on."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Uvloop alone: its transports and timing differ from asyncio's."""
    return {"uvloop": uvloop.new_event_loop}
