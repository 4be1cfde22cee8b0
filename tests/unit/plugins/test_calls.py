"""Calling plugins: each under its deadline, none at another's cost."""

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.payments import NOW
from tests.support.plugins import DEADLINE, question, until
from worker.errors import InvariantViolation, MissingRate, StaleRate, StepOverran, StepUnavailable
from worker.plugins import calls
from worker.plugins.calls import Caller, CallerNow
from worker.plugins.threads import AT_ONCE
from worker.routing.questions import Kind, Question, Use

SOON = 3.0


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    made = Caller()
    yield made
    made.close()


async def test_a_plain_method_runs_in_a_thread_of_its_plugin(caller: Caller) -> None:
    """It gets what was given, away from the event loop's thread, and threads are used again."""
    seen = []

    def call(*given: object) -> str:
        seen.append((given, threading.current_thread()))
        return "yes"

    assert [await caller.ask(question(call)) for _ in range(3)] == ["yes"] * 3
    assert {given for given, _ in seen} == {("a", NOW)}
    (thread,) = {thread for _, thread in seen}
    assert thread.daemon
    assert thread is not threading.main_thread()
    assert thread.name == "plugin step one"


@pytest.mark.parametrize(
    "error", [RuntimeError("card 4111111111111111"), SystemExit(1), TimeoutError("theirs")]
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_whatever_it_raises_is_unavailability(
    caller: Caller, error: BaseException, is_async: bool
) -> None:
    """The error names the plugin and the kind of exception, not its text, which may hold anything."""

    def plain(*_given: object) -> None:
        raise error

    async def coroutine(*_given: object) -> None:
        raise error

    with pytest.raises(StepUnavailable) as caught:
        await caller.ask(question(coroutine if is_async else plain, deadline=SOON))
    assert str(caught.value) == f"step one raised {type(error).__name__}"
    assert not isinstance(caught.value, StepOverran)


async def test_a_plugin_that_cancels_itself_failed(caller: Caller) -> None:
    """Its CancelledError is its own, and cancels nobody else."""

    async def call(*_given: object) -> None:
        raise asyncio.CancelledError

    with pytest.raises(StepUnavailable, match="step one raised CancelledError"):
        await caller.ask(question(call))


@pytest.mark.parametrize("error", [MissingRate("no rate"), StaleRate("an old one")])
async def test_a_rate_provider_may_say_what_is_wrong(caller: Caller, error: Exception) -> None:
    """Missing and stale rates keep their names; from any other plugin they are failures like the rest."""

    def call(*_given: object) -> None:
        raise error

    with pytest.raises(type(error)):
        await caller.ask(question(call, kind=Kind.RATES))
    with pytest.raises(StepUnavailable):
        await caller.ask(question(call, kind=Kind.STEP))


async def test_a_hang_costs_its_own_call_only(caller: Caller) -> None:
    """More calls hang than there are threads; others are answered meanwhile, of this plugin too."""
    let_go = threading.Event()

    def call(*_given: object) -> None:
        let_go.wait(SOON)

    hanging = [asyncio.ensure_future(caller.ask(question(call))) for _ in range(AT_ONCE + 2)]
    await asyncio.sleep(0)
    started = time.monotonic()
    assert await caller.ask(question(lambda *_: "other", "two")) == "other"
    assert time.monotonic() - started < DEADLINE
    assert await caller.ask(question(lambda *_: "same")) == "same"
    results = await asyncio.gather(*hanging, return_exceptions=True)
    assert [type(result) for result in results] == [StepOverran] * len(hanging)
    assert str(results[0]) == "step one did not answer within 0.1 s"
    let_go.set()
    await until(lambda: caller._places["step one", False].overstaying == 0)


async def test_the_deadline_counts_from_the_call_itself(caller: Caller) -> None:
    """Payments that wait for a thread behind slow but healthy calls are not failed for it."""

    def call(*_given: object) -> str:
        time.sleep(DEADLINE * 0.4)
        return "yes"

    answers = await asyncio.gather(*[caller.ask(question(call)) for _ in range(AT_ONCE * 4)])
    assert answers == ["yes"] * AT_ONCE * 4


@pytest.mark.parametrize("is_async", [False, True])
async def test_hanging_calls_are_bounded(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """With so many calls hanging the plugin is not asked, until one comes back; others are."""
    monkeypatch.setattr(calls, "MOST_OVERSTAYING", 2)
    let_go = threading.Event()
    asked: list[object] = []

    def plain(*_given: object) -> str:
        asked.append(1)
        let_go.wait(SOON)
        return "back"

    async def stubborn(*_given: object) -> str:
        asked.append(1)
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return "back"

    call = stubborn if is_async else plain
    for _ in range(2):
        with pytest.raises(StepOverran):
            await caller.ask(question(call))
    with pytest.raises(StepUnavailable, match="2 calls of step one hang"):
        await caller.ask(question(call))
    assert len(asked) == 2
    assert await caller.ask(question(lambda *_: "fine", "two")) == "fine"
    let_go.set()

    async def answers() -> bool:
        try:
            return await caller.ask(question(call)) == "back"
        except StepUnavailable:
            return False

    async with asyncio.timeout(SOON):
        while not await answers():
            await asyncio.sleep(0.01)


async def test_a_cancelled_question_leaves_its_call_to_itself(caller: Caller) -> None:
    """Who asks may give up; the thread comes back and is used again."""
    let_go = threading.Event()
    asking = asyncio.ensure_future(caller.ask(question(lambda *_: let_go.wait(SOON), deadline=SOON)))
    await until(lambda: ("step one", False) in caller._places)
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert caller._places["step one", False].overstaying == 1
    let_go.set()
    await until(lambda: caller._places["step one", False].overstaying == 0)
    assert await caller.ask(question(lambda *_: "next")) == "next"


async def test_closing_lets_threads_end() -> None:
    """Idle threads end at once, others when their call comes back."""
    caller, let_go = Caller(), threading.Event()
    await caller.ask(question(lambda *_: None, "closed-idle"))
    with pytest.raises(StepOverran):
        await caller.ask(question(lambda *_: let_go.wait(SOON), "closed-late"))
    caller.close()
    let_go.set()

    def left() -> list[str]:
        return [one.name for one in threading.enumerate() if "closed" in one.name]

    await until(lambda: not left())


async def test_failures_are_logged_but_do_not_flood_the_log() -> None:
    """One line a second and plugin, with the exception."""
    lines: list[dict[str, Any]] = []

    class Log:
        def error(self, event: str, **details: Any) -> None:
            lines.append({"event": event, **details})

    now = 0.0
    caller = Caller(Log(), lambda: now)  # type: ignore[arg-type]

    def call(*_given: object) -> None:
        raise RuntimeError

    for second in (0.0, 0.5, 1.0):
        now = second
        for name in ("one", "two"):
            with pytest.raises(StepUnavailable):
                await caller.ask(question(call, name))
    caller.close()
    assert [line["plugin"] for line in lines] == ["step one", "step two"] * 2
    assert isinstance(lines[0]["exc_info"], RuntimeError)


async def test_a_use_that_nothing_is_bound_to(caller: Caller) -> None:
    """It is our bug, and said to be one."""
    with pytest.raises(InvariantViolation):
        await caller.ask(Question(Use(Kind.STEP, "one", "{}"), (), ()))


def test_commands_ask_and_wait() -> None:
    """Without an event loop of one's own, both kinds of method are asked."""

    async def call(*_given: object) -> str:
        await asyncio.sleep(0)
        return "async"

    with CallerNow() as caller:
        assert caller.ask(question(call)) == "async"
        assert caller.ask(question(lambda *_: "plain")) == "plain"
        with pytest.raises(StepOverran):
            caller.ask(question(lambda *_: time.sleep(0.3)))
    gc.collect()
