"""The pipeline on a broker in memory: every payment ends in exactly one place, and is settled after it."""

import asyncio
from collections import Counter, deque
from typing import Any

import orjson
import pytest

from schemas import dead_letter as headers
from tests.support.memory_lane import MemoryBroker, MemoryLane, Stored
from tests.support.memory_stage import SOON, MemoryStage
from tests.support.payments import body, rule_table
from worker.amqp.lane import Properties, Refused, Unknown
from worker.amqp.wire import Timestamp
from worker.errors import BrokerUnavailable, InvariantViolation
from worker.planning import Planner
from worker.retry import RetryPolicies, RetryPolicy

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_dispatches_to_the_first_candidate() -> None:
    """A good payment reaches its processor once, with its fees, and is settled."""
    stage = MemoryStage()
    stage.put(body(), headers={"traceparent": TRACEPARENT})
    await stage.drain(1)
    (sent,) = stage.queue("alpha")
    dispatch = orjson.loads(sent.body)
    assert dispatch["net"] == {"value": "9.46", "currency": "EUR"}
    assert sent.routing_key == "card.eur"
    assert sent.properties.correlation_id == "pay-1"
    assert sent.properties.headers["traceparent"] == TRACEPARENT
    assert sent.properties.headers["dispatch-id"] == dispatch["dispatch_id"]
    assert stage.counts == {"dispatched": 1}


async def test_batches_keep_payments_apart() -> None:
    """Good and bad payments of one batch each have their own fate."""
    stage = MemoryStage()
    for number in range(30):
        stage.put(b"broken" if number % 3 == 0 else body(payment_id=f"p{number}"))
    await stage.drain(30)
    ids = [orjson.loads(sent.body)["payment_id"] for sent in stage.queue("alpha")]
    assert sorted(ids) == sorted(f"p{n}" for n in range(30) if n % 3)
    assert len(stage.queue("dead")) == 10


async def test_a_dead_letter_keeps_the_message() -> None:
    """Body and the producer's headers and properties stay; the worker's headers say why and since when."""
    stage = MemoryStage()
    stage.put(
        b'{"payment_id":"pay-9"}',
        headers={
            "traceparent": TRACEPARENT,
            "tenant": "t1",
            "x-death": [{"count": 1}],
            "x-first-death-queue": "q",
        },
        content_type="application/json",
        message_id="theirs",
        expiration="60000",
        reply_to="answers",
    )
    await stage.drain(1)
    (dead,) = stage.queue("dead")
    assert dead.body == b'{"payment_id":"pay-9"}'
    assert dead.routing_key == "invalid_payment"
    properties = dead.properties
    assert (properties.reply_to, properties.expiration) == ("answers", None)
    assert properties.message_id != "theirs"
    found = dict(properties.headers)
    assert found.pop(headers.ERROR_MESSAGE).startswith("type: is missing")
    assert orjson.loads(found.pop(headers.ATTEMPTS)) == [
        {"attempt": 1, "at": "2026-11-24T12:00:00.000Z", "code": "invalid_payment"}
    ]
    assert found == {
        "tenant": "t1",
        "traceparent": TRACEPARENT,
        headers.ERROR_CODE: "invalid_payment",
        headers.PAYMENT_ID: "pay-9",
        headers.ATTEMPT: 1,
        headers.FIRST_SEEN: "2026-11-24T12:00:00.000Z",
        headers.DEAD_AT: "2026-11-24T12:00:00.000Z",
        headers.EXCHANGE: "payments",
        headers.ROUTING_KEY: "card.eur",
        headers.MESSAGE_ID: "theirs",
        headers.EXPIRATION: "60000",
    }


@pytest.mark.parametrize(
    ("currency", "code"),
    [("GBP", "held"), ("CHF", "no_francs"), ("SEK", "no_route"), ("EUX", "unknown_currency")],
)
async def test_rules_end_payments_by_name(currency: str, code: str) -> None:
    """What the rules hold, reject or do not cover is dead-lettered with its code."""
    stage = MemoryStage()
    stage.put(body(currency=currency))
    await stage.drain(1)
    assert stage.queue("dead")[0].properties.headers[headers.ERROR_CODE] == code


async def test_a_definite_refusal_gives_the_next_candidate_the_payment() -> None:
    """The fallback takes over at once, as attempt 2 under a dispatch id of its own."""
    stage = MemoryStage()
    stage.broker.bindings["alpha"] = None
    stage.put(body())
    await stage.drain(1)
    dispatch = orjson.loads(stage.queue("beta")[0].body)
    assert (dispatch["processor"], dispatch["attempt"]) == ("beta", 2)


async def test_a_redelivered_payment_stays_with_its_first_candidate() -> None:
    """An earlier dispatch may have arrived unseen, so no other processor may have it: it waits."""
    stage = MemoryStage()
    stage.broker.bindings["alpha"] = None
    stage.put(body(), redelivered=True)
    await stage.drain(1)
    assert not stage.queue("beta")
    (delayed,) = stage.queue("delay.1")
    assert delayed.properties.headers[headers.PINNED] == "alpha"

    back = MemoryStage()
    back.broker.bindings["alpha"] = None
    back.come_back(delayed)
    await back.drain(1)
    assert not back.queue("beta")


def routed_by(*processors: str) -> Planner:
    """Rules that send every payment to the first of these, the others being its fallbacks."""
    route = {"to": processors[0], "fallback": list(processors[1:])}
    named = {name: {"exchange": name} for name in ("alpha", "beta")}
    return Planner(rule_table({"version": 1, "processors": named, "default": route}))


async def test_a_pinned_payment_stays_with_its_processor_when_the_rules_change() -> None:
    """Other rules name the processor second now; it still is the one that may have the payment."""
    stage = MemoryStage()
    stage.planner = routed_by("beta", "alpha")
    stage.pipeline = stage.make()
    stage.come_back(Stored(body(), Properties(headers={headers.ATTEMPT: 2, headers.PINNED: "alpha"}), "", ""))
    await stage.drain(1)
    assert len(stage.queue("alpha")) == 1
    assert not stage.queue("beta")


async def test_a_pinned_payment_whose_processor_left_the_route_is_for_a_person() -> None:
    """Nobody else may have it, and nobody can say whether that processor has."""
    stage = MemoryStage()
    stage.planner = routed_by("beta")
    stage.pipeline = stage.make()
    stage.come_back(Stored(body(), Properties(headers={headers.ATTEMPT: 2, headers.PINNED: "alpha"}), "", ""))
    await stage.drain(1)
    assert not stage.queue("beta")
    (dead,) = stage.queue("dead")
    assert dead.properties.headers[headers.ERROR_CODE] == "outcome_unknown"
    assert "publish to alpha may have arrived" in dead.properties.headers[headers.ERROR_MESSAGE]


def break_off(stage: MemoryStage, *processors: str) -> None:
    """Let the processors fail until their breakers open."""
    for processor in processors:
        for _ in range(20):
            stage.breakers.of(processor).failed(asyncio.get_running_loop().time())
        assert stage.breakers.states[processor] == "open"


async def test_an_open_breaker_gives_the_payment_to_the_next_candidate() -> None:
    """Without a try: the first candidate's exchange sees no publish."""
    stage = MemoryStage()
    break_off(stage, "alpha")
    stage.put(body())
    await stage.drain(1)
    assert [sent.exchange for sent in stage.lane.sent] == ["beta"]
    assert orjson.loads(stage.queue("beta")[0].body)["attempt"] == 2


async def test_an_open_breaker_does_not_move_a_payment_whose_outcome_is_unknown() -> None:
    """It goes to the processor that may have it, breaker or not."""
    stage = MemoryStage()
    break_off(stage, "alpha")
    stage.put(body(), redelivered=True)
    await stage.drain(1)
    assert [sent.exchange for sent in stage.lane.sent] == ["alpha"]


async def test_payments_are_delayed_while_every_breaker_is_open() -> None:
    """No processor sees a publish, and the payment is neither dead-lettered nor held in process."""
    stage = MemoryStage(in_process_seconds=SOON)
    break_off(stage, "alpha", "beta")
    stage.put(body())
    await stage.drain(1)
    (delayed,) = stage.queue("delay.1")
    (attempt,) = orjson.loads(delayed.properties.headers[headers.ATTEMPTS])
    assert (attempt["code"], attempt["processor"]) == ("circuit_open", "alpha")
    assert [sent.exchange for sent in stage.lane.sent] == ["delay.1"]


async def test_refusals_open_the_breaker_and_confirms_keep_it_closed() -> None:
    """After enough refusals the processor is left alone; the one that confirms is not."""
    stage = MemoryStage()
    stage.broker.bindings["alpha"] = None
    for number in range(60):
        stage.put(body(payment_id=f"p{number}"))
    await stage.drain(60)
    tries = Counter(sent.exchange for sent in stage.lane.sent)
    assert 20 <= tries["alpha"] < 60
    assert tries["beta"] == 60
    assert stage.breakers.states == {"alpha": "open", "beta": "closed"}


async def test_refused_everywhere_is_tried_again_in_process() -> None:
    """A processor that comes back within the in-process time costs no delay."""
    stage = MemoryStage(in_process_seconds=SOON)
    stage.broker.bindings["beta"] = None
    stage.put(body(currency="USD"))
    async with stage.running():
        await stage.until(lambda: len(stage.lane.sent) >= 2)
        stage.broker.bindings["beta"] = "beta"
        await stage.until(lambda: stage.counts.total())
    assert stage.counts == {"dispatched": 1}


async def test_a_delayed_payment_comes_back_as_the_next_attempt() -> None:
    """Each delay counts the attempt; after the last one the dead letter lists them all."""
    stage = MemoryStage()
    stage.broker.bindings["beta"] = None
    stage.put(body(currency="USD"), headers={"tenant": "t1"}, message_id="theirs")
    await stage.drain(1)
    for attempt, queue in ((2, "delay.1"), (3, "delay.5")):
        (delayed,) = stage.queue(queue)
        assert delayed.routing_key == "in"
        assert delayed.body == body(currency="USD")
        assert delayed.properties.headers[headers.ATTEMPT] == attempt
        stage.broker.queues[queue].clear()
        stage.lane = MemoryLane(stage.broker, "in", 50)
        stage.counts.clear()
        stage.pipeline = stage.make()
        stage.come_back(delayed)
        await stage.drain(1)
    (dead,) = stage.queue("dead")
    found = dead.properties.headers
    assert found[headers.ERROR_CODE] == "retries_exhausted"
    attempts = orjson.loads(found[headers.ATTEMPTS])
    assert [(a["attempt"], a["code"], a["processor"]) for a in attempts] == [
        (1, "unroutable", "beta"), (2, "unroutable", "beta"), (3, "unroutable", "beta"),
    ]  # fmt: skip
    assert (found[headers.EXCHANGE], found[headers.ROUTING_KEY]) == ("payments", "card.eur")
    assert (found["tenant"], found[headers.MESSAGE_ID]) == ("t1", "theirs")


async def test_the_code_of_a_failure_chooses_its_retries() -> None:
    """A code with a policy of its own is tried as that says; its neighbour of another code is delayed."""
    stage = MemoryStage()
    own = {"publish_refused": RetryPolicy(0.0, (), attempts=1)}
    stage.policies = RetryPolicies(stage.policies.default, own)
    stage.pipeline = stage.make()
    stage.broker.full.add("alpha")
    stage.broker.bindings["beta"] = None
    stage.put(body(payment_id="unbound", currency="USD"))
    stage.put(body(payment_id="full"), redelivered=True)
    await stage.drain(2)
    assert [orjson.loads(one.body)["payment_id"] for one in stage.queue("delay.1")] == ["unbound"]
    (dead,) = stage.queue("dead")
    assert dead.properties.headers[headers.ERROR_CODE] == "retries_exhausted"
    assert "1 attempts failed: publish_refused" in dead.properties.headers[headers.ERROR_MESSAGE]


@pytest.mark.parametrize("exchange", ["payments", "back"])
@pytest.mark.parametrize("attempt", [0, -1, True, "2", 10**6, None])
def test_a_strange_attempt_header_counts_as_the_first(attempt: object, exchange: str) -> None:
    """Only what the worker itself could have written is believed."""
    from worker.envelope import read_arrival

    lane = MemoryLane(MemoryBroker(queues={"in": deque()}), "in", 1)
    stored = Stored(
        b"x", Properties(headers={headers.ATTEMPT: attempt, headers.ATTEMPTS: "{"}), exchange, "k"
    )
    arrival = read_arrival(lane._deliver(stored), stored.properties, "back")
    assert (arrival.attempt, arrival.attempts) == (1, ())


async def test_a_producer_cannot_forge_attempts() -> None:
    """A header of the worker's name on a payment that was never delayed says nothing."""
    stage = MemoryStage()
    stage.broker.bindings["beta"] = None
    stage.put(body(currency="USD"), headers={headers.ATTEMPT: 3})
    await stage.drain(1)
    assert stage.queue("delay.1")[0].properties.headers[headers.ATTEMPT] == 2


async def test_an_unknown_outcome_releases_the_payment() -> None:
    """It is left unacknowledged, goes to no other processor, and the session ends."""
    stage = MemoryStage()
    stage.broker.fates["alpha"] = Unknown("cut")
    stage.put(body())
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(stage.pipeline.run(), SOON)
    assert stage.counts == {"released": 1}
    assert not stage.queue("beta")
    assert stage.queue("in")[0].redelivered


@pytest.mark.parametrize("processor", ["alpha", "beta"])
async def test_a_lost_channel_keeps_the_payment_with_its_processor(processor: str) -> None:
    """The dispatch may have arrived: no other processor has it, in process, delayed, or under other rules."""
    stage = MemoryStage(in_process_seconds=0.2)
    stage.planner = routed_by("alpha", "beta")
    stage.pipeline = stage.make()
    stage.broker.fates["alpha"] = Refused("unroutable", "NO_ROUTE")
    stage.broker.fates[processor] = Unknown("deleted", again=True)
    stage.put(body())
    await stage.drain(1)
    tried = [sent.exchange for sent in stage.lane.sent]
    assert set(tried[1 if processor == "beta" else 0 : -1]) == {processor}
    assert len(tried) > 3
    (delayed,) = stage.queue("delay.1")
    assert delayed.properties.headers[headers.PINNED] == processor
    assert orjson.loads(delayed.properties.headers[headers.ATTEMPTS])[0]["code"] == "channel_lost"

    back = MemoryStage()
    back.planner = routed_by("beta", "alpha")
    back.pipeline = back.make()
    back.come_back(delayed)
    await back.drain(1)
    assert [sent.exchange for sent in back.lane.sent] == [processor]


async def test_a_lost_dead_letter_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter may arrive twice, never not at all."""
    monkeypatch.setattr("worker.next_step.HELD_BACK_SECONDS", (0.01, 0.05))
    stage = MemoryStage()
    stage.broker.fates["dead"] = Unknown("deleted", again=True)
    stage.put(b"broken")
    async with stage.running():
        await stage.until(lambda: len(stage.lane.sent) >= 2)
        stage.broker.fates.clear()
        await stage.until(lambda: stage.counts.total())
    assert len(stage.queue("dead")) == 1


async def test_a_missing_exchange_gives_the_next_candidate_the_payment() -> None:
    """It is a definite refusal like any other."""
    stage = MemoryStage()
    del stage.broker.bindings["alpha"]
    stage.put(body())
    await stage.drain(1)
    assert len(stage.queue("beta")) == 1


async def test_a_full_dead_letter_queue_holds_the_payment_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays unsettled and is tried again with growing waits until the queue takes it."""
    monkeypatch.setattr("worker.next_step.HELD_BACK_SECONDS", (0.01, 0.05))
    stage = MemoryStage()
    stage.broker.full.add("dead")
    stage.put(b"broken")
    async with stage.running():
        await stage.until(lambda: len(stage.lane.sent) >= 3)
        assert stage.lane.unacked
        stage.broker.full.clear()
        await stage.until(lambda: stage.counts.total())
    assert len(stage.queue("dead")) == 1
    assert not stage.lane.unacked


async def test_a_waiting_payment_is_released_when_the_session_ends() -> None:
    """A retry that waits does not keep an ended session alive."""
    stage = MemoryStage()
    stage.broker.full.add("dead")
    stage.put(b"broken")
    run = asyncio.ensure_future(stage.pipeline.run())
    await stage.until(lambda: stage.lane.sent)
    stage.lane.end("cut")
    with pytest.raises(BrokerUnavailable, match="cut"):
        await asyncio.wait_for(run, 2)
    assert len(stage.queue("in")) == 1


class Exploding:
    """A planner that fails for one payment."""

    def __init__(self, error: Exception) -> None:
        self.error, self.planner = error, Planner(rule_table())
        self.table = self.planner.table

    def plan(self, decoded: Any, now: Any) -> Any:
        if decoded.payment.payment_id == "boom":
            raise self.error
        return self.planner.plan(decoded, now)

    def gross(self, payment: Any) -> Any:
        return self.planner.gross(payment)


async def test_a_bug_costs_its_own_payment_only() -> None:
    """An exception nobody expected is dead-lettered as internal_error; the neighbours go on."""
    stage = MemoryStage()
    stage.planner = Exploding(ZeroDivisionError("x"))
    stage.pipeline = stage.make()
    for name in ("a", "boom", "b"):
        stage.put(body(payment_id=name))
    await stage.drain(3)
    assert stage.counts == {"dispatched": 2, "dead_lettered": 1}
    assert stage.queue("dead")[0].properties.headers[headers.ERROR_CODE] == "internal_error"


async def test_a_broken_invariant_stops_the_worker() -> None:
    """The payment is dead-lettered, nothing more is taken, and the violation comes out."""
    stage = MemoryStage()
    stage.planner = Exploding(InvariantViolation("books"))
    stage.pipeline = stage.make()
    stage.put(body(payment_id="boom"))
    with pytest.raises(InvariantViolation, match="books"):
        await asyncio.wait_for(stage.pipeline.run(), SOON)
    assert len(stage.queue("dead")) == 1
    stage.put(body())
    assert len(stage.queue("in")) == 1


async def test_every_publish_has_a_message_id_of_its_own() -> None:
    """Returns are matched by message id, so no two publishes may share one."""
    stage = MemoryStage(in_process_seconds=0.05)
    stage.broker.bindings["alpha"] = stage.broker.bindings["beta"] = None
    for number in range(20):
        stage.put(body(payment_id=f"p{number}"), message_id="same")
    await stage.drain(20)
    ids = [sent.properties.message_id for sent in stage.lane.sent]
    assert len(ids) > 40
    assert len(set(ids)) == len(ids)


async def test_headers_too_large_to_pass_on_are_left_behind() -> None:
    """A dead letter must fit into the broker's frames, whatever a producer sent."""
    stage = MemoryStage()
    stage.put(b"broken", headers={"huge": "x" * 60_000})
    await stage.drain(1)
    assert "huge" not in stage.queue("dead")[0].properties.headers


async def test_times_that_no_client_can_read_are_left_behind() -> None:
    """A dead letter's reader must not lose its connection over a time after the year 9999."""
    stage = MemoryStage()
    endless = Timestamp(2**63)
    stage.put(b"broken", headers={"when": endless, "deep": {"list": [endless]}, "fine": 1}, timestamp=2**63)
    await stage.drain(1)
    properties = stage.queue("dead")[0].properties
    assert properties.timestamp is None
    assert {"when", "deep", "fine"} & set(properties.headers) == {"fine"}
