"""What people read about connections that do not open or do not last."""

import asyncio
import ssl
from pathlib import Path

import aio_pika
import pytest
from aiormq.exceptions import AMQPConnectionError, ConnectionClosed
from yarl import URL

from worker.amqp.connection import Broker, _explain, connect, explain_closing
from worker.errors import BrokerUnavailable

BROKER = Broker(URL("amqps://user:secret@broker.example:5671/"), 10, 5.0)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (None, "closed on our side"),
        (asyncio.CancelledError(), "the broker was silent"),
        (ConnectionClosed(320, "CONNECTION_FORCED - maintenance"), "maintenance"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_closing_has_words(cause: BaseException | None, words: str) -> None:
    """No cause leaves an empty sentence behind."""
    assert words in explain_closing(cause)


def test_a_tls_error_that_aiormq_has_wrapped_is_named() -> None:
    """Both lanes tell TLS from a broker that is not there, and neither tells the password."""
    wrapped = AMQPConnectionError("certificate verify failed")
    wrapped.__cause__ = ssl.SSLCertVerificationError(1, "certificate verify failed")
    explained = _explain(wrapped, BROKER)
    assert isinstance(explained, BrokerUnavailable)
    assert "no TLS connection to amqps://user@broker.example:5671/" in str(explained)
    assert "cafile=" in str(explained)
    assert "secret" not in str(explained)


@pytest.mark.parametrize("name", ["cafile", "capath", "certfile", "keyfile"])
async def test_a_file_for_tls_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    """What is wrong is the URL, not a broker that does not run."""
    url = URL("amqps://user:secret@127.0.0.1:1/").update_query({name: str(tmp_path / "none.pem")})
    with pytest.raises(BrokerUnavailable, match=rf"`{name}=` .*none\.pem, which is not there") as info:
        await connect(Broker(url, 10, 60.0), "a test", aio_pika.Connection)
    assert "secret" not in str(info.value)


@pytest.mark.parametrize("error", [StopAsyncIteration(), asyncio.CancelledError()])
async def test_whatever_aiormq_ends_a_handshake_with_is_an_unavailable_broker(error: BaseException) -> None:
    """It stops an iteration where the peer hangs up at once, and cancels where it gives a peer up itself."""

    class HangsUp(aio_pika.Connection):
        async def connect(self, _: object = None) -> None:  # type: ignore[override]
            raise error

    with pytest.raises(BrokerUnavailable, match=r"broker\.example"):
        await connect(BROKER, "a test", HangsUp)


async def test_who_is_told_to_stop_while_connecting_stops() -> None:
    """A cancellation of our own is no trouble with the broker."""

    class Hangs(aio_pika.Connection):
        async def connect(self, _: object = None) -> None:  # type: ignore[override]
            await asyncio.Event().wait()

    connecting = asyncio.create_task(connect(BROKER, "a test", Hangs))
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting


def test_addresses_are_tried_from_the_last_that_answered() -> None:
    """One that does not answer is asked last the next time; whoever shares the broker learns of it."""
    urls = [URL(f"amqp://host-{n}/") for n in range(3)]
    broker = Broker(urls[0], 10, 5.0, tuple(urls[1:]))
    tried = []
    for one in broker.in_turn():
        tried.append(str(one.url))
        if one.url == urls[1]:
            break
    assert tried == ["amqp://host-0/", "amqp://host-1/"]
    assert [one.url for one in broker.in_turn()] == [urls[1], urls[2], urls[0]]
