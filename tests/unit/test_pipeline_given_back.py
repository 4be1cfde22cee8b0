"""Dispatches that processors give back, on a broker in memory: the next candidate, once each, or the dead."""

import asyncio
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schemas import dead_letter as headers
from tests.support.journals import FINGERPRINTS, intent
from tests.support.journals import dispatched as recorded
from tests.support.memory_lane import Stored
from tests.support.memory_stage import INCOMING, RETURNED, MemoryStage
from tests.support.payments import NOW, body, rule_table
from worker.amqp.lane import Properties
from worker.codec import decode
from worker.journal.memory import Memory, MemoryJournal
from worker.planning import Planner

NAMES = ("alpha", "beta", "gamma")
REJECTED = {"x-death": [{"queue": "alpha.inbox", "reason": "rejected"}]}


def stage_of(*processors: str) -> MemoryStage:
    """A worker on what is given back, by rules that name these processors in order."""
    named = {name: {"exchange": name} for name in NAMES}
    route = {"to": processors[0], "fallback": list(processors[1:])}
    stage = MemoryStage(planner=Planner(rule_table({"version": 1, "processors": named, "default": route})))
    for name in NAMES:
        stage.broker.bindings[name] = name
        stage.broker.queues.setdefault(name, type(stage.broker.queues["in"])())
    stage.source = RETURNED
    return stage


async def handle(stage: MemoryStage, count: int = 1) -> None:
    """Let a new worker handle what lies in its queue."""
    stage.open()
    await stage.drain(count)


async def dispatched(stage: MemoryStage, processor: str, message: bytes = body()) -> Stored:
    """Let a worker dispatch a payment, and take the dispatch from the processor's inbox."""
    stage.source = INCOMING
    stage.put(message, headers={"tracestate": "vendor=1"})
    await handle(stage)
    stage.source = RETURNED
    return stage.broker.queues[processor].popleft()


def give_back(stage: MemoryStage, dispatch: Stored, times_back: int = 0, **more: Any) -> None:
    """Reject a dispatch as a connector does, or publish it with other headers."""
    properties = Properties(headers={**dispatch.properties.headers, **REJECTED, **more})
    stage.arrive(Stored(dispatch.body, properties, "", ""), "payments.return", "returned", times_back)


def attempts(stored: Stored) -> list[tuple[int, str, str | None]]:
    listed = orjson.loads(stored.properties.headers[headers.ATTEMPTS])
    return [(one["attempt"], one["code"], one.get("processor")) for one in listed]


async def test_the_log_tells_which_payment_was_given_back_and_by_whom() -> None:
    """At once, whatever becomes of it."""
    stage = stage_of("alpha", "beta")
    give_back(stage, await dispatched(stage, "alpha"))
    with capture_logs() as logs:
        await handle(stage)
    [line] = [line for line in logs if line["event"] == "returned"]
    assert (line["payment_id"], line["code"], line["processor"]) == ("pay-1", "returned", "alpha")
    assert line["reason"] == "alpha gave its dispatch back"


async def test_the_next_candidate_gets_what_the_first_gives_back() -> None:
    """Under a dispatch id of its own, with the history beside it; the breaker and the counts know of it."""
    stage = stage_of("alpha", "beta")
    give_back(stage, await dispatched(stage, "alpha"))
    await handle(stage)
    (sent,) = stage.queue("beta")
    dispatch = orjson.loads(sent.body)
    assert (dispatch["payment_id"], dispatch["processor"], dispatch["attempt"]) == ("pay-1", "beta", 2)
    assert attempts(sent) == [(1, "returned", "alpha")]
    assert sent.properties.headers[headers.PASSED] == "alpha"
    assert sent.properties.headers["tracestate"] == "vendor=1"
    assert not stage.queue("alpha")
    assert stage.counts == {"returned": 1, "dispatched": 1}


async def test_given_back_by_all_is_dead_with_every_attempt() -> None:
    """No processor is asked twice, and the dead letter is the payment as its producer wrote it."""
    stage = stage_of("alpha", "beta")
    payment = body(metadata={"item": "gems"})
    give_back(stage, await dispatched(stage, "alpha", payment))
    await handle(stage)
    give_back(stage, stage.broker.queues["beta"].popleft())
    await handle(stage)
    (dead,) = stage.queue("dead")
    found = dead.properties.headers
    assert dead.body == payment
    assert found[headers.ERROR_CODE] == "returned"
    assert "behind alpha, beta" in found[headers.ERROR_MESSAGE]
    assert attempts(dead) == [(1, "returned", "alpha"), (1, "returned", "beta")]
    assert (found[headers.EXCHANGE], found[headers.ROUTING_KEY]) == ("payments", "card.eur")
    assert not [name for name in found if name.startswith("x-")]
    assert not stage.queue("alpha")


async def test_a_connector_that_loses_the_headers_makes_no_loop() -> None:
    """The dispatch itself says how far the payment has come: it only ever goes forward."""
    stage = stage_of("alpha", "beta")
    give_back(stage, await dispatched(stage, "alpha"))
    await handle(stage)
    bare = Stored(stage.broker.queues["beta"].popleft().body, Properties(), "", "")
    stage.arrive(bare, "", "returned")
    await handle(stage)
    assert not stage.queue("alpha")
    assert stage.headers("dead")[headers.ERROR_CODE] == "returned"


async def test_candidates_before_the_one_that_gave_back_are_passed() -> None:
    """The second candidate had it, since the first refused; only the third is left, also after a delay."""
    stage = stage_of("alpha", "beta", "gamma")
    stage.broker.bindings["alpha"] = None
    dispatch = await dispatched(stage, "beta")
    stage.broker.bindings |= {"alpha": "alpha", "gamma": None}
    give_back(stage, dispatch)
    await handle(stage)
    (delayed,) = stage.queue("delay.1")
    assert delayed.body == body()
    assert delayed.routing_key == "in"
    assert delayed.properties.headers[headers.PASSED] == "alpha,beta"
    stage.broker.bindings["gamma"] = "gamma"
    stage.source = INCOMING
    stage.come_back(delayed)
    await handle(stage)
    assert len(stage.queue("gamma")) == 1
    assert not stage.queue("alpha")


async def test_other_rules_may_send_it_to_a_processor_that_has_not_had_it() -> None:
    """What is behind the one that gave back is decided by the rules in force now."""
    stage = stage_of("alpha")
    dispatch = await dispatched(stage, "alpha")
    stage.planner = stage_of("alpha", "gamma").planner
    give_back(stage, dispatch)
    await handle(stage)
    assert len(stage.queue("gamma")) == 1


async def test_a_return_delivered_again_stays_with_the_next_candidate() -> None:
    """The worker may have sent it there before it crashed: a refusal there does not move it on."""
    stage = stage_of("alpha", "beta", "gamma")
    dispatch = await dispatched(stage, "alpha")
    stage.broker.bindings["beta"] = None
    give_back(stage, dispatch, times_back=1)
    await handle(stage)
    assert not stage.queue("gamma")
    assert stage.headers("delay.1")[headers.PINNED] == "beta"


@pytest.mark.parametrize("reason", ["expired", "delivery_limit", "maxlen"])
async def test_what_an_inbox_gives_up_is_for_a_person(reason: str) -> None:
    """The processor may have had it: nobody else may get it."""
    stage = stage_of("alpha", "beta")
    dispatch = await dispatched(stage, "alpha")
    give_back(stage, dispatch, **{"x-death": [{"queue": "alpha.inbox", "reason": reason}]})
    await handle(stage)
    assert not stage.queue("beta")
    assert stage.headers("dead")[headers.ERROR_CODE] == "outcome_unknown"


async def test_what_is_no_dispatch_of_ours_is_dead_as_it_came() -> None:
    """A payment that someone published to the wrong queue is not dispatched from there."""
    stage = stage_of("alpha", "beta")
    stage.arrive(Stored(body(), Properties(), "", ""), "", "returned")
    await handle(stage)
    (dead,) = stage.queue("dead")
    assert (dead.body, dead.properties.headers[headers.ERROR_CODE]) == (body(), "not_our_dispatch")


async def test_payments_given_back_open_the_breaker() -> None:
    """A processor that takes everything and gives everything back is passed over in the end."""
    stage = stage_of("alpha", "beta")
    for number in range(40):
        dispatch = await dispatched(stage, "alpha", body(payment_id=f"p{number}"))
        give_back(stage, dispatch)
        await handle(stage)
        if stage.breakers.states["alpha"] == "open":
            break
    assert stage.breakers.states["alpha"] == "open"
    stage.source = INCOMING
    stage.put(body(payment_id="next"))
    await handle(stage)
    assert "next" in stage.ids("beta")
    assert not stage.queue("alpha")


async def test_the_journal_lets_a_payment_go_on_that_was_given_back() -> None:
    """What is recorded as dispatched is no duplicate when its processor has given it back."""
    stage = stage_of("alpha", "beta")
    stage.remember(MemoryJournal("worker", 60, Memory()))
    give_back(stage, await dispatched(stage, "alpha"))
    await handle(stage)
    assert len(stage.queue("beta")) == 1
    give_back(stage, stage.broker.queues["beta"].popleft())
    await handle(stage)
    assert stage.headers("dead")[headers.ERROR_CODE] == "returned"


async def test_a_dispatch_given_back_before_it_is_recorded_waits_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The processor was faster than the journal of the worker that sent it; then another one has it."""
    monkeypatch.setattr("worker.next_step.HELD_BACK_SECONDS", (0.01, 0.02))
    stage = stage_of("alpha", "beta")
    dispatch = await dispatched(stage, "alpha")
    memory = Memory()
    sender = MemoryJournal("the sender", 60, memory)
    fingerprint = FINGERPRINTS.of(decode(body(), None, None, 10_000).canonical)
    sent = intent(processor="alpha", exchange="alpha", fingerprint=fingerprint)
    await sender.claim([sent], NOW)
    stage.remember(MemoryJournal("worker", 60, memory))
    give_back(stage, dispatch, times_back=1)
    async with stage.running():
        await asyncio.sleep(0.1)
        assert stage.counts == {"returned": 1}
        assert not stage.lane.sent
        await sender.record([recorded(sent)], NOW)
        await stage.until(lambda: stage.counts["dispatched"])
    assert len(stage.queue("beta")) == 1
