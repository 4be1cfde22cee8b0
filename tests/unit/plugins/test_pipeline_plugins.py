"""Plugins in the pipeline, on a broker in memory: each failure costs its own payments only."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest

from schemas.rules import RuleDocument
from tests.support.memory_stage import SOON, MemoryStage
from tests.support.payments import NOW, RULES, body
from tests.support.plugins import AnyPlugin
from worker.errors import BrokerUnavailable, InvariantViolation, StepOverran, StepUnavailable
from worker.planning import Planner
from worker.plugins.calls import Caller
from worker.routing import Question, compile_rules
from worker.routing.answers import Continue, Reject, Retry

STEP = {"name": "look", "when": {"customer_id": {"exists": True}}, "plugin": {"look": {}}}


def planner(version: str = "v1", **sections: Any) -> Planner:
    document = RuleDocument.model_validate({**RULES, **sections})
    return Planner(compile_rules(document, version, catalogue=AnyPlugin()))


@dataclass
class Scripted(Caller):
    """Answers as the test says, by the payment's customer."""

    answer: Callable[[str, Question], Awaitable[object]] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, question: Question) -> object:
        payment = question.given[0]
        self.asked.append((question.use.name, payment.payment_id))
        if self.answer is None:
            return Continue()
        return await self.answer(payment.customer_id, question)


class AskingStage(MemoryStage):
    """A stage whose rules ask the step ``look`` about each payment with a customer."""

    plugins: Scripted

    def __init__(self, in_process_seconds: float = 0.0, **sections: Any) -> None:
        super().__init__(
            in_process_seconds, planner=planner(**(sections or {"steps": [STEP]})), plugins=Scripted()
        )

    def pay(self, customer: str | None = None, number: int = 1) -> None:
        """Publish a payment named for its customer."""
        changes = {} if customer is None else {"customer_id": customer}
        self.put(body(payment_id=f"{customer or 'plain'}-{number}", **changes))


async def test_neighbours_do_not_wait_for_a_plugin() -> None:
    """Payments of the same batch that reach no plugin are sent and settled while one is still asked."""
    stage, answered = AskingStage(), asyncio.Event()

    async def answer(_customer: str, _question: Question) -> object:
        await answered.wait()
        return Continue()

    stage.plugins.answer = answer
    for number in range(9):
        stage.pay("slow" if number == 4 else None, number)
    async with stage.running():
        await stage.until(lambda: stage.counts["dispatched"] == 8)
        assert stage.ids("alpha") == sorted(f"plain-{n}" for n in range(9) if n != 4)
        assert stage.plugins.asked == [("look", "slow-4")]
        answered.set()
        await stage.until(lambda: stage.counts["dispatched"] == 9)
    assert not stage.lane.unacked


@pytest.mark.parametrize(
    ("answer", "queue", "code"),
    [
        (StepUnavailable("raised"), "delay.1", "step_unavailable"),
        (StepOverran("hung"), "delay.1", "step_unavailable"),
        (Retry("busy"), "delay.1", "step_unavailable"),
        ("nonsense", "dead", "plugin_failed"),
        (Reject("blocked", "why"), "dead", "blocked"),
    ],
)
async def test_a_failure_costs_its_own_payment(answer: object, queue: str, code: str) -> None:
    """It is delayed or dead-lettered with its reason; the others of its batch are dispatched."""
    stage = AskingStage()

    async def say(customer: str, _question: Question) -> object:
        if customer == "good":
            return Continue()
        if isinstance(answer, Exception):
            raise answer
        return answer

    stage.plugins.answer = say
    for number in range(4):
        stage.pay("bad" if number == 1 else "good", number)
    await stage.drain(4)
    assert stage.ids("alpha") == ["good-0", "good-2", "good-3"]
    assert stage.ids(queue) == ["bad-1"]
    assert _codes(stage.headers(queue)) == [code]


def _codes(headers: dict[str, Any]) -> list[str]:
    return [attempt["code"] for attempt in orjson.loads(headers["payment-attempts"])]


async def test_the_last_failure_is_a_dead_letter() -> None:
    """After the last delay the payment is dead, with every attempt's code, its body as it came."""
    stage = AskingStage()

    async def say(_customer: str, _question: Question) -> object:
        raise StepUnavailable("raised")

    stage.plugins.answer = say
    stage.pay("bad")
    async with stage.running():
        for delay in ("delay.1", "delay.5"):
            await stage.until(lambda d=delay: stage.broker.queues[d])
            delayed = stage.broker.queues[delay].popleft()
            delayed.exchange = "payments.return"  # as the broker's delay queues bring it back
            stage.broker.queues["in"].append(delayed)
        await stage.until(lambda: stage.broker.queues["dead"])
    headers = stage.headers("dead")
    assert headers["payment-error-code"] == "retries_exhausted"
    assert _codes(headers) == ["step_unavailable"] * 3
    assert orjson.loads(stage.broker.queues["dead"][0].body)["payment_id"] == "bad-1"


async def test_a_failure_is_tried_again_in_process() -> None:
    """A plugin that comes back at once costs no trip through a delay queue."""
    stage = AskingStage(in_process_seconds=2.0)
    answers = iter([StepUnavailable("raised"), StepUnavailable("raised"), Continue({"n": 1})])

    async def say(_customer: str, _question: Question) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    stage.plugins.answer = say
    stage.pay("twice")
    await stage.drain(1)
    (sent,) = stage.broker.queues["alpha"]
    assert orjson.loads(sent.body)["enrichment"] == {"look.n": 1}
    assert len(stage.plugins.asked) == 3


async def test_an_overrun_is_not_tried_again_at_once() -> None:
    """It has had its time: the next try is after a delay."""
    stage = AskingStage(in_process_seconds=2.0)

    async def say(_customer: str, _question: Question) -> object:
        raise StepOverran("hung")

    stage.plugins.answer = say
    stage.pay("hung")
    await stage.drain(1)
    assert stage.ids("delay.1") == ["hung-1"]
    assert len(stage.plugins.asked) == 1


async def test_a_retry_goes_by_the_rules_in_force() -> None:
    """Rules that no longer ask set the payment free; the dispatch names the version that decided."""
    stage = AskingStage(in_process_seconds=2.0)

    async def say(_customer: str, _question: Question) -> object:
        stage.pipeline.use(planner("v2"))
        raise StepUnavailable("raised")

    stage.plugins.answer = say
    stage.pay("bad")
    await stage.drain(1)
    (sent,) = stage.broker.queues["alpha"]
    assert orjson.loads(sent.body)["rules_version"] == "v2"


async def test_a_payment_that_is_asked_about_keeps_its_rules() -> None:
    """A reload while a plugin is asked changes nothing for that payment, and none of its questions."""
    stage = AskingStage()

    async def say(_customer: str, _question: Question) -> object:
        stage.pipeline.use(planner("v2", steps=[{**STEP, "name": "other"}]))
        return Continue({"a": 1})

    stage.plugins.answer = say
    stage.pay("good")
    await stage.drain(1)
    sent = orjson.loads(stage.broker.queues["alpha"][0].body)
    assert (sent["rules_version"], sent["enrichment"]) == ("v1", {"look.a": 1})


async def test_a_refused_dispatch_after_a_plugin_is_retried_like_any_other() -> None:
    """The next candidate has it; the plugin is not asked again."""
    stage = AskingStage()
    stage.broker.full.add("alpha")
    stage.pay("good")
    await stage.drain(1)
    assert stage.ids("beta") == ["good-1"]
    assert len(stage.plugins.asked) == 1


async def test_the_end_of_a_session_waits_for_no_plugin() -> None:
    """Payments that are asked about are released at once, unacknowledged, for the next session."""
    stage = AskingStage()
    never = asyncio.Event()

    async def say(_customer: str, _question: Question) -> object:
        return await never.wait()

    stage.plugins.answer = say
    stage.pay("slow")
    task = asyncio.ensure_future(stage.pipeline.run())
    await stage.until(lambda: stage.plugins.asked)
    stage.lane.end("the connection is lost")
    with pytest.raises(BrokerUnavailable, match="the connection is lost"):
        await asyncio.wait_for(task, SOON)
    assert stage.counts == {"released": 1}
    assert stage.ids("in") == ["slow-1"]


async def test_draining_waits_for_plugins() -> None:
    """A stop finishes what is asked about, and settles it."""
    stage, answered = AskingStage(), asyncio.Event()

    async def say(_customer: str, _question: Question) -> object:
        await answered.wait()
        return Continue()

    stage.plugins.answer = say
    stage.pay("slow")
    async with stage.running():
        await stage.until(lambda: stage.plugins.asked)
        await stage.lane.stop_intake()
        asyncio.get_running_loop().call_later(0.02, answered.set)
    assert stage.ids("alpha") == ["slow-1"]
    assert not stage.lane.unacked


async def test_an_expired_payment_is_dead_and_its_neighbours_are_not() -> None:
    """A payment that grows too old while it is delayed goes nowhere any more."""
    rules = [{"name": "short", "when": {}, "route": {"to": "alpha", "expires_after_seconds": 60}}]
    stage = AskingStage(rules=rules)
    stage.now = NOW + timedelta(seconds=61)
    stage.pay()
    await stage.drain(1)
    assert stage.headers("dead")["payment-error-code"] == "expired"


async def test_a_question_without_a_plugin_stops_the_worker() -> None:
    """It is our bug: the payment stays in the broker, and nothing more is taken."""
    stage = AskingStage()
    stage.pipeline.plugins = Caller()
    stage.pay("good")
    with pytest.raises(InvariantViolation, match="step look is not bound"):
        await asyncio.wait_for(stage.pipeline.run(), SOON)
    assert stage.lane.unacked
