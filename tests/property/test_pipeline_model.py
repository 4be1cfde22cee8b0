"""Workers, processors and a broker in small: whatever happens in whatever order, the promises hold.

Two processes run the real pipeline over a broker that knows what became of each publish. A payment is never
at two processors without a definite refusal between them, a repeat is the same bytes under the same dispatch
id, a delivery is settled only once a replacement is confirmed, bodies stay as they arrived, and no payment is
ever nowhere. When the faults have healed, everything drains.

Without a journal two things are not promised: rules that change over a crash, and a payment that went to
another processor than its route's first before its session ended.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import wraps
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.jumping_loop import JumpingLoop
from tests.support.model_broker import PROCESSORS, ModelBroker, ModelLane, Publish
from tests.support.model_worker import LEASE_SECONDS, ModelJournal, ModelProcess
from tests.support.payments import RULES, body, rule_table
from worker.bookkeeping.audit import audit
from worker.journal.memory import Memory, MemoryBooks
from worker.journal.states import State
from worker.routing import RuleTable

REFUSALS: Final = ("publish_refused", "unroutable", "no_exchange")
OUTCOMES: Final = ("confirmed", "confirmed", "stored", "channel lost", *REFUSALS)
SLOTS: Final = st.sampled_from(("a", "b"))
TURNS: Final = st.sampled_from((0, 1, 2, 3, 5, 8, 20, 20, 20))
ENDED: Final = {State.DISPATCHED, State.DEAD_LETTERED}
ROUTES: Final = (
    {"to": "alpha", "fallback": ["beta"], "fees": "standard"},
    {"to": "beta", "fallback": ["alpha"], "fees": "standard"},
    {"to": "alpha"},
    {"reject": {"code": "no_euros", "reason": "not here"}},
)


def make_table(number: int) -> RuleTable:
    """Rules that send euros along one of the routes, with breakers that open soon."""
    document = deepcopy(RULES)
    for processor in document["processors"].values():
        processor["health"] = {"minimum_payments": 2, "failure_percent": "50", "open_seconds": 5}
    document["rules"][0]["route"] = ROUTES[number]
    return rule_table(document, f"v{number}")


TABLES: Final = tuple(make_table(number) for number in range(len(ROUTES)))


def act(**drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a rule of something that happens, after which tasks go on as far as an await of chance."""

    def decorate(happen: Callable[..., None]) -> Callable[..., None]:
        @rule(turns=TURNS, **drawn)
        @wraps(happen)
        def happens(self: "PipelineMachine", turns: int, **values: Any) -> None:
            happen(self, **values)
            self.loop.turn(turns)

        return happens

    return decorate


class PipelineMachine(RuleBasedStateMachine):
    """Deliveries, answers, lost channels and sessions, crashes, delays and other rules, in any order."""

    remembers = True

    def __init__(self) -> None:
        super().__init__()
        self.loop = JumpingLoop()
        self.loop.set_exception_handler(lambda _, context: self.broker.wrong.append(str(context)))
        self.broker = ModelBroker(self.remembers)
        self.memory = Memory()
        self.processes: dict[str, ModelProcess] = {}
        self.started = 0

    def lanes(self) -> Iterator[ModelLane]:
        for process in self.processes.values():
            yield from process.lanes

    def publishes(self) -> list[tuple[ModelLane, Publish]]:
        return [(lane, publish) for lane in self.lanes() for publish in lane.publishes]

    def replace(self, slot: str, number: int) -> None:
        """Start a process, with a fresh breaker and the rules of now, in the place of one that dies."""
        if slot in self.processes:
            self.processes.pop(slot).die()
        self.started += 1
        journal = (
            ModelJournal(f"{slot} {self.started}", LEASE_SECONDS, self.memory) if self.remembers else None
        )
        table = TABLES[number if self.remembers else 0]
        self.processes[slot] = ModelProcess(self.loop, self.broker, table, journal)

    @initialize()
    def start(self) -> None:
        for slot in ("a", "b"):
            self.replace(slot, 0)

    @act(kind=st.sampled_from(("euros", "euros", "euros", "francs", "nonsense")))
    def publish(self, kind: str) -> None:
        payment_id = f"pay-{len(self.broker.payments)}-"
        made = body(payment_id=payment_id, currency="CHF" if kind == "francs" else "EUR")
        self.broker.accept(payment_id, made[:-1] if kind == "nonsense" else made)

    @precondition(lambda self: self.remembers and self.broker.payments)
    @act(data=st.data())
    def publish_again(self, data: st.DataObject) -> None:
        self.broker.accept(*data.draw(st.sampled_from(sorted(self.broker.payments.items()))))

    @act(slot=SLOTS, count=st.integers(1, 5))
    def deliver(self, slot: str, count: int) -> None:
        for lane in self.processes[slot].lanes:
            lane.deliver(count)

    @precondition(lambda self: self.publishes())
    @act(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def answer(self, data: st.DataObject, outcome: str) -> None:
        found = self.publishes()
        lane, publish = found[data.draw(st.integers(0, len(found) - 1))]
        match outcome:
            case "confirmed":
                lane.confirm(publish)
            case "stored":
                self.broker.store(publish)
            case "channel lost" if publish.processor is not None:
                lane.lose_channel(publish.processor)
            case "channel lost":
                lane.end("the channel of the worker's own publishes is lost")
            case _:
                lane.refuse(publish, outcome)

    @act(slot=SLOTS, processor=st.sampled_from(PROCESSORS))
    def refuse_all(self, slot: str, processor: str) -> None:
        """A processor's queue is full: after two of these its breaker is open."""
        for lane in self.processes[slot].lanes:
            for publish in [one for one in lane.publishes if one.processor == processor]:
                lane.refuse(publish, REFUSALS[0])

    @act(slot=SLOTS, processor=st.sampled_from(PROCESSORS))
    def lose_channels(self, slot: str, processor: str) -> None:
        """A processor's channel ends, and some time later its payments are tried again."""
        for lane in self.processes[slot].lanes:
            lane.lose_channel(processor)
        self.loop.pass_time(0.1)

    @act(slot=SLOTS)
    def confirm_all(self, slot: str) -> None:
        for lane in self.processes[slot].lanes:
            for publish in [*lane.publishes]:
                lane.confirm(publish)

    @act(slot=SLOTS)
    def read_acks(self, slot: str) -> None:
        for lane in self.processes[slot].lanes:
            lane.read_acks()

    @act(slot=SLOTS, queue=st.sampled_from(("in", "in", "crashed")))
    def lose_connection(self, slot: str, queue: str) -> None:
        self.processes[slot].sessions[queue].lane.end("the model wants it so")

    @act(slot=SLOTS, number=st.integers(0, len(ROUTES) - 1))
    def crash(self, slot: str, number: int) -> None:
        self.replace(slot, number)

    @act(slot=SLOTS)
    def stop(self, slot: str) -> None:
        """Drain a session as far as it goes; the next one begins when it is closed."""
        for session in self.processes[slot].sessions.values():
            self.loop.run_until_complete(session.lane.stop_intake())
            if session.running.done():
                self.loop.run_until_complete(session.lane.close())

    @precondition(lambda self: self.remembers)
    @act(slot=SLOTS, number=st.integers(0, len(ROUTES) - 1))
    def change_rules(self, slot: str, number: int) -> None:
        self.processes[slot].use(TABLES[number])

    @precondition(lambda self: self.remembers)
    @act(slot=SLOTS, away=st.booleans())
    def lose_journal(self, slot: str, away: bool) -> None:
        journal = self.processes[slot].journal
        assert journal is not None
        journal.away = away

    @act()
    def end_delays(self) -> None:
        self.broker.end_delays()

    @act(seconds=st.sampled_from((0.1, 1.0, 6.0, 61.0)))
    def wait(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    @invariant()
    def promises_hold(self) -> None:
        assert not self.broker.wrong, self.broker.wrong
        for process in self.processes.values():
            for session in process.sessions.values():
                if (failure := session.failure()) is not None:
                    raise failure
            process.open()
        assert not self.broker.lost(), "payments are nowhere"

    def teardown(self) -> None:
        try:
            if self.processes and not self.broker.wrong:
                self.heal()
        finally:
            for process in self.processes.values():
                process.die()
            self.loop.close()

    def heal(self) -> None:
        """From now on everything goes well, by one process's rules."""
        for process in self.processes.values():
            process.use(TABLES[0])
            if process.journal is not None:
                process.journal.away = False
        for _ in range(60):
            if not self.broker.in_hand and not self.broker.delayed and not any(self.broker.queues.values()):
                break
            for slot in self.processes:
                self.deliver_all_well(slot)
            self.loop.pass_time(20.0)
            self.broker.end_delays()
            self.promises_hold()
        else:
            raise AssertionError(f"not everything drains: {self.broker}")
        self.account()

    def deliver_all_well(self, slot: str) -> None:
        self.loop.turn(20)
        for lane in self.processes[slot].lanes:
            lane.deliver(5)
        self.loop.turn(20)
        for lane in self.processes[slot].lanes:
            for publish in [*lane.publishes]:
                lane.confirm(publish)
            self.loop.turn(20)
            lane.read_acks()
            if lane._stopped:
                lane.end("it has drained")

    def account(self) -> None:
        """Every payment has been confirmed where it belongs, and the books say the same."""
        dead = {one.body: str(one.properties.headers["payment-error-code"]) for one in self.broker.dead}
        assert "internal_error" not in dead.values()
        for payment_id, made in self.broker.payments.items():
            assert payment_id in self.broker.confirmed or made in dead, f"{payment_id} has no end"
        if self.remembers:
            found = audit(MemoryBooks(self.memory))
            assert found.fits, found.misfits
            states = MemoryBooks(self.memory).states(self.broker.payments)
            assert set(states.values()) <= ENDED, states


@pytest.mark.parametrize("remembers", [True, False], ids=["journal", "no journal"])
def test_promises_hold_whatever_happens(remembers: bool, request: pytest.FixtureRequest) -> None:
    """Two processes, two processors, any order of events."""
    whole = request.config.getoption("--faults") == "whole"
    machine = type("Machine", (PipelineMachine,), {"remembers": remembers})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1500 if whole else 110, stateful_step_count=60, report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip
