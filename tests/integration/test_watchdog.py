"""A worker whose consumer the broker has lost, without a word: it notices, and begins another session."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.support.bodies import payment
from tests.support.stage import Stage
from worker import consumer


@pytest.mark.parametrize("lane", ["tap", "standard"])
@pytest.mark.parametrize("which", [0, 1, 2])
async def test_lost_consumer_is_noticed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, lane: str, which: int
) -> None:
    """Messages wait while the worker is connected and deaf: the session ends, and the next one takes them."""
    monkeypatch.setattr(consumer, "WATCH_SECONDS", 0.1)
    queue = (stage.names.incoming, stage.names.returned, stage.names.crashed)[which]
    with capture_logs() as logs:
        async with stage.working(lane=lane) as worker:
            await stage.publish(payment("before"))
            await stage.dispatched()
            await asyncio.sleep(0.5)  # nothing to complain of
            deaf = worker._consumers[which]._pipeline
            assert deaf is not None
            await deaf.lane._consumer.basic_cancel(deaf.lane._consumer_tag)  # type: ignore[attr-defined]
            await stage.channel.basic_publish(b"{bad", routing_key=queue, mandatory=True)
            await stage.dead()
    ended = [line for line in logs if line["event"] == "session ended"]
    assert [line["queue"] for line in ended] == [queue]
    assert "1 messages wait" in ended[0]["reason"]
    assert await stage.leftovers() == {}
