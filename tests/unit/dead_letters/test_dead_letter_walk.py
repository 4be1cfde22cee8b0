"""Going through the queue: how far, in which parts, and what an interruption leaves."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.support.dead_letters import FakeBrowser, dead_letter
from worker.dead_letters import DeadLetter, Selection
from worker.dead_letters import walk as walking
from worker.dead_letters.walk import BATCH, Browser, Pace, Report, Round, chosen
from worker.errors import BrokerUnavailable, ConfigurationError


def queue(count: int, **options: object) -> FakeBrowser:
    letters = [dead_letter(payment_id=f"pay-{tag}", tag=tag).delivery for tag in range(1, count + 1)]
    return FakeBrowser(letters, **options)  # type: ignore[arg-type]


@dataclass
class Recording:
    """An action that keeps what it was asked; it refuses odd tags and may take its time."""

    acted: list[list[int]] = field(default_factory=list)
    refuses_odd: bool = False
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.goes_on.set()

    async def reasons_to_stay(self, letters: Sequence[DeadLetter]) -> Sequence[str | None]:
        return ["odd" if self.refuses_odd and letter.delivery.tag % 2 else None for letter in letters]

    async def act(self, lane: Browser, letters: Sequence[DeadLetter], report: Report) -> None:
        self.begun.set()
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        self.acted.append([letter.delivery.tag for letter in letters])
        for letter in letters:
            report.done.add(letter)


class Clock:
    """A clock that only a sleep moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def round_of(
    action: Recording, *, dry_run: bool = False, pace: Pace | None = None, hold: float = 900.0
) -> Round:
    return Round(Selection(), action, pace or Pace(None, lambda: 0.0), dry_run, lambda _: None, hold)


async def test_as_many_are_looked_at_as_waited_at_the_beginning() -> None:
    """What comes into the queue behind them is not looked at, or a letter that dies again had no end."""
    lane = queue(BATCH + 50, found=BATCH + 20)
    seen: list[int] = []
    found = [
        letter
        async for letters in chosen(lane, Selection(), lambda all_: seen.append(len(all_)))
        for letter in letters
    ]
    assert [letter.delivery.tag for letter in found] == list(range(1, BATCH + 21))
    assert seen == [BATCH, 20]


async def test_only_chosen_letters_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are seen; those that pass the filters are yielded."""
    lane = queue(3)
    seen: list[DeadLetter] = []
    found = [letters async for letters in chosen(lane, Selection(ids=frozenset({"pay-2"})), seen.extend)]
    assert [[letter.payment_id for letter in letters] for letters in found] == [["pay-2"]]
    assert len(seen) == 3


async def test_look_ends_when_others_took_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer letters than waited, an empty queue is the end, not an error."""
    monkeypatch.setattr(walking, "IDLE_SECONDS", 0.01)
    found = [letters async for letters in chosen(queue(2, found=5), Selection(), lambda _: None)]
    assert [len(letters) for letters in found] == [2]


async def test_broker_that_hands_nothing_over_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that wait but never come end the look with an error, not with a short answer."""
    monkeypatch.setattr(walking, "IDLE_SECONDS", 0.01)
    lane = queue(0, found=5, empty=False)
    with pytest.raises(BrokerUnavailable, match="handed nothing over"):
        [letters async for letters in chosen(lane, Selection(), lambda _: None)]


async def test_dry_run_counts_and_acts_on_nothing() -> None:
    """What would be done and what would stay are known without an act."""
    action = Recording(refuses_odd=True)
    work = round_of(action, dry_run=True)
    assert await work.go_through(queue(5))
    assert action.acted == []
    assert (work.report.done.letters, work.report.left["odd"].letters) == (2, 3)


async def test_what_must_stay_is_not_acted_on() -> None:
    """A reason keeps a letter out of the act, and is counted."""
    action = Recording(refuses_odd=True)
    work = round_of(action)
    assert await work.go_through(queue(5))
    assert action.acted == [[2, 4]]
    assert work.report.left["odd"].letters == 3


async def test_rate_bounds_how_many_go_in_a_second() -> None:
    """At 8 a second, 20 letters in parts of 2 take 18/8 s, since the first part goes at once."""
    clock, action = Clock(), Recording()
    assert await round_of(action, pace=Pace(8, clock, clock.sleep)).go_through(queue(20))
    assert [len(part) for part in action.acted] == [2] * 10
    assert clock.now == pytest.approx(100 + 18 / 8)


async def test_slow_act_owes_no_wait() -> None:
    """Time that the act itself took counts; it is not made up for by a burst later."""
    clock = Clock()
    pace = Pace(4, clock, clock.sleep)
    await pace.wait(1)
    clock.now += 10
    before = clock.now
    await pace.wait(1)
    assert clock.now == before
    await pace.wait(1)
    assert clock.now == pytest.approx(before + 0.25)


async def test_letters_are_not_held_longer_than_allowed() -> None:
    """A slow round stops for now and says that there is more."""
    clock, action = Clock(), Recording(refuses_odd=True)
    work = round_of(action, pace=Pace(1, clock, clock.sleep), hold=2.5)
    assert not await work.go_through(queue(20))
    assert 0 < len(action.acted) < 10


async def test_second_go_counts_what_stays_anew() -> None:
    """What was put back and looked at again is not counted twice; what was done is added up."""
    work = round_of(Recording(refuses_odd=True))
    for _ in range(2):
        await work.go_through(queue(4))
    assert (work.report.done.letters, work.report.left["odd"].letters) == (4, 2)


async def test_interruption_lets_the_act_end() -> None:
    """Cancelled between publish and removal, the act finishes before the cancellation goes on."""
    action = Recording()
    action.goes_on.clear()
    work = round_of(action)
    running = asyncio.create_task(work.go_through(queue(5)))
    await action.begun.wait()
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    action.goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert action.acted == [[1, 2, 3, 4, 5]]
    assert work.report.done.letters == 5


async def test_interruption_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """An act that cannot end, since no confirm comes, is given up after its time."""
    monkeypatch.setattr(walking, "FINISH_SECONDS", 0.01)
    action = Recording()
    action.goes_on.clear()
    running = asyncio.create_task(round_of(action).go_through(queue(1)))
    await action.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert action.acted == []


async def test_error_of_the_act_is_raised() -> None:
    """What stops the act stops the round."""
    action = Recording(error=ConfigurationError("disk full"))
    with pytest.raises(ConfigurationError, match="disk full"):
        await round_of(action).go_through(queue(1))
