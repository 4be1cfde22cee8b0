"""Loops of async plugins: each plugin's own, given up once blocked, at nobody else's cost."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.plugins import question, until
from worker.errors import StepOverran, StepUnavailable
from worker.plugins import calls
from worker.plugins.calls import Caller
from worker.plugins.loops import Loops
from worker.routing.questions import Question

SOON = 3.0


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    made = Caller()
    yield made
    made.close()


@pytest.fixture
def let_go() -> Any:
    """Set at the end, so that nothing that blocks outlives its test."""
    event = threading.Event()
    yield event
    event.set()


async def where(*_given: object) -> tuple[object, threading.Thread]:
    await asyncio.sleep(0)
    return asyncio.get_running_loop(), threading.current_thread()


async def test_an_async_method_runs_on_a_loop_of_its_plugin(caller: Caller) -> None:
    """It is one loop for all calls, in a daemon of its own: neither the worker's nor another plugin's."""
    answers = [await caller.ask(question(where, name, SOON)) for name in ("one", "one", "two")]
    (one, same, two) = answers
    assert one == same
    assert len({one[0], two[0], asyncio.get_running_loop()}) == 3
    assert one[1].daemon
    assert one[1].name == "plugin step one"


async def test_a_call_that_waits_too_long_is_cancelled_and_the_loop_goes_on(caller: Caller) -> None:
    """Only the call is given up, not the loop on which others of the plugin wait."""
    cancelled = threading.Event()

    async def call(*_given: object) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    before = await caller.ask(question(where, deadline=SOON))
    with pytest.raises(StepOverran, match=r"step one did not answer within 0.1 s"):
        await caller.ask(question(call))
    await until(cancelled.is_set)
    assert await caller.ask(question(where, deadline=SOON)) == before
    await until(lambda: caller._places["step one", True].overstaying == 0)


async def test_a_blocked_loop_is_replaced(caller: Caller, let_go: threading.Event) -> None:
    """The call that blocks it overruns; the plugin's next one is answered, on another loop."""

    async def blocks(*_given: object) -> None:
        let_go.wait(SOON)

    before = await caller.ask(question(where, deadline=SOON))
    with pytest.raises(StepOverran):
        await caller.ask(question(blocks))
    after = await caller.ask(question(where, deadline=SOON))
    assert after[0] is not before[0]
    assert caller._places["step one", True].overstaying == 1


async def test_a_blocked_loop_holds_up_nobody_else(caller: Caller, let_go: threading.Event) -> None:
    """While it is blocked, other plugins answer and the worker's own loop turns."""
    blocked = threading.Event()

    async def blocks(*_given: object) -> None:
        blocked.set()
        let_go.wait(SOON)

    hanging = asyncio.ensure_future(caller.ask(question(blocks, deadline=SOON)))
    await until(blocked.is_set)
    assert await caller.ask(question(where, "two", SOON))
    assert not hanging.done()
    let_go.set()
    assert await hanging is None


async def test_a_loop_that_comes_back_is_forgotten(caller: Caller, let_go: threading.Event) -> None:
    """Its thread ends, and it no longer counts as hanging."""

    async def blocks(*_given: object) -> threading.Thread:
        let_go.wait(SOON)
        return threading.current_thread()

    _, thread = await caller.ask(question(where, deadline=SOON))
    with pytest.raises(StepOverran):
        await caller.ask(question(blocks))
    await until(lambda: caller._places["step one", True]._loop is None)
    assert caller._places["step one", True].overstaying == 1
    let_go.set()
    await until(lambda: not thread.is_alive() and caller._places["step one", True].overstaying == 0)


async def test_the_calls_beside_one_that_blocks_are_made_again(
    caller: Caller, let_go: threading.Event
) -> None:
    """They only shared its loop: it overruns, they are answered."""
    loops: list[object] = []

    async def blocks(*_given: object) -> None:
        let_go.wait(SOON)

    async def waits(*_given: object) -> str:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(60 if len(loops) == 1 else 0)
        return "yes"

    beside = asyncio.ensure_future(caller.ask(question(waits, deadline=0.3)))
    await until(lambda: loops)
    with pytest.raises(StepOverran):
        await caller.ask(question(blocks))
    assert await beside == "yes"
    assert len(set(loops)) == 2


async def test_the_calls_beside_many_that_block_are_made_alone(
    caller: Caller, let_go: threading.Event
) -> None:
    """However many block one loop after another, the others are answered before long."""

    async def blocks(*_given: object) -> None:
        let_go.wait(SOON)

    bad = [caller.ask(question(blocks)) for _ in range(8)]
    good = [caller.ask(question(where, deadline=0.5)) for _ in range(8)]
    mixed = [one for pair in zip(bad, good, strict=True) for one in pair]
    results = await asyncio.gather(*mixed, return_exceptions=True)
    assert [type(one) for one in results[::2]] == [StepOverran] * 8
    assert [type(one) for one in results[1::2]] == [tuple] * 8


async def test_a_call_that_is_cut_off_is_made_again(caller: Caller, let_go: threading.Event) -> None:
    """A loop that was given up ends when it comes back; who still waits on it is answered by another."""
    loops: list[object] = []

    async def blocks(*_given: object) -> None:
        let_go.wait(SOON)

    async def waits(*_given: object) -> str:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(60 if len(loops) == 1 else 0)
        return "yes"

    beside = asyncio.ensure_future(caller.ask(question(waits, deadline=60)))
    await until(lambda: loops)
    with pytest.raises(StepOverran):
        await caller.ask(question(blocks))
    let_go.set()
    async with asyncio.timeout(SOON):
        assert await beside == "yes"


async def test_nobody_is_put_on_a_loop_in_doubt(caller: Caller, let_go: threading.Event) -> None:
    """Who asks while a loop has yet to show that it turns waits for that, and is answered."""

    async def blocks(*_given: object) -> None:
        let_go.wait(SOON)

    place = caller._place(question(blocks).use.bound)  # type: ignore[arg-type]
    assert isinstance(place, Loops)
    blocking = asyncio.ensure_future(caller.ask(question(blocks)))
    await until(lambda: place._blocked or (place._loop and not place._loop.trusted.is_set()))
    assert await caller.ask(question(where, deadline=SOON))
    with pytest.raises(StepOverran):
        await blocking


async def test_a_loop_that_has_answered_is_not_given_up(caller: Caller) -> None:
    """A worker that comes late to look goes by the answer, not by the time that has passed."""
    before = await caller.ask(question(where, deadline=SOON))
    place = caller._places["step one", True]
    assert isinstance(place, Loops)
    assert place._loop is not None
    place._give_up(place._loop)
    assert await caller.ask(question(where, deadline=SOON)) == before


async def test_blocked_loops_are_bounded(
    caller: Caller, let_go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With so many blocked the plugin is not asked; once they come back it is."""
    monkeypatch.setattr(calls, "MOST_OVERSTAYING", 2)

    async def blocks(*_given: object) -> None:
        let_go.wait(SOON)

    for _ in range(2):
        with pytest.raises(StepOverran):
            await caller.ask(question(blocks))
        await until(lambda: caller._places["step one", True]._loop is None)
    with pytest.raises(StepUnavailable, match="2 calls of step one hang"):
        await caller.ask(question(where))
    let_go.set()
    await until(lambda: caller._places["step one", True].overstaying == 0)
    assert await caller.ask(question(where, deadline=SOON))


async def test_a_task_that_exits_does_not_end_the_loop(caller: Caller) -> None:
    """What a plugin starts beside its answer may raise what it likes."""

    async def exits() -> None:
        raise SystemExit(1)

    async def call(*_given: object) -> tuple[object, threading.Thread]:
        task = asyncio.create_task(exits())
        with contextlib.suppress(SystemExit):
            await asyncio.wait({task})
        assert isinstance(task.exception(), SystemExit)
        return await where()

    first = await caller.ask(question(call, deadline=SOON))
    assert await caller.ask(question(where, deadline=SOON)) == first


# --- objects of a new loop ----------------------------------------------------------------------------------


class Client:
    """What a plugin might keep: it works on the loop that used it first, and on no other."""

    made = 0

    def __init__(self, hold: threading.Event | None = None) -> None:
        if hold is not None:
            hold.wait(SOON)
        Client.made += 1
        self.loop: object = None

    async def check(self, *_given: object) -> str:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("attached to a different loop")
        return "yes"


def asking(client: Client, make: Any) -> Question:
    return question(client.check, deadline=SOON, make=make, ready=0.2)


async def blocked(caller: Caller, let_go: threading.Event) -> None:
    async def blocks(*_given: object) -> None:
        let_go.wait(SOON)

    with pytest.raises(StepOverran):
        await caller.ask(question(blocks))


async def test_a_new_loop_has_an_object_of_its_own(caller: Caller, let_go: threading.Event) -> None:
    """A client that belongs to the blocked loop costs the next payments nothing; one serves them all."""
    Client.made = 0
    one = asking(Client(), lambda: Client().check)
    assert await caller.ask(one) == "yes"
    await blocked(caller, let_go)
    assert await asyncio.gather(*[caller.ask(one) for _ in range(5)]) == ["yes"] * 5
    assert Client.made == 2


async def test_the_object_of_a_new_loop_may_fail(caller: Caller, let_go: threading.Event) -> None:
    """Its class may raise, as when rules are loaded; the next payment has another made."""
    makes = iter([OSError("not yet"), Client()])

    def make() -> Any:
        made = next(makes)
        if isinstance(made, OSError):
            raise made
        return made.check

    one = asking(Client(), make)
    await blocked(caller, let_go)
    with pytest.raises(StepUnavailable, match="step one raised OSError"):
        await caller.ask(one)
    assert await caller.ask(one) == "yes"


async def test_the_object_of_a_new_loop_may_hang(caller: Caller, let_go: threading.Event) -> None:
    """It has the time that it has at the start, away from the loops."""
    one = asking(Client(), lambda: Client(let_go).check)
    await blocked(caller, let_go)
    with pytest.raises(StepOverran):
        await caller.ask(one)
    assert caller._places["step one", True].overstaying == 2


async def test_closing_ends_the_loop() -> None:
    """What still waits on it is cancelled, and its thread ends."""
    caller = Caller()
    _, thread = await caller.ask(question(where, "closed-loop", SOON))
    caller.close()
    await until(lambda: not thread.is_alive())
