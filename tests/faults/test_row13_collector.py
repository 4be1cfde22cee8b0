"""Row 13: the OTLP collector is absent, slow, or hangs, and payments do not notice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.support.bench import Bench
from worker.rabbitmq import free_ports

SLOW_SECONDS = 0.5


@asynccontextmanager
async def absent() -> AsyncIterator[int]:
    """Nobody listens."""
    yield free_ports(1)[0]


@asynccontextmanager
async def slow() -> AsyncIterator[int]:
    """Every answer takes its time."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            await asyncio.sleep(SLOW_SECONDS)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with _serving(answer) as port:
        yield port


@asynccontextmanager
async def hanging() -> AsyncIterator[int]:
    """Everything is accepted and nothing is answered."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass

    async with _serving(swallow) as port:
        yield port


@asynccontextmanager
async def _serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            await handle(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("collector", [absent, slow, hanging])
async def test_payments_do_not_wait_for_the_collector(
    bench: Bench, collector: Callable[[], AbstractAsyncContextManager[int]]
) -> None:
    """Spans and counts are lost at worst; payments pass, and the worker still stops in order."""
    async with collector() as port:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        worker = bench.start(environ=environ)
        await bench.publish(300)
        await bench.drained(repeats=False)
        assert worker.exit_code == 0
