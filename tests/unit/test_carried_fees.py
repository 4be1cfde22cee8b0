"""Fees rounded by carry: the journal's remainders decide, once a payment, and the totals never drift."""

from fractions import Fraction
from typing import Any

import orjson
import pytest

from tests.support.memory_stage import MemoryStage
from tests.support.payments import RULES, body, rule_table
from worker.journal.memory import Memory, MemoryBooks, MemoryJournal
from worker.planning import Planner

CARRIED: dict[str, Any] = {
    **RULES,
    "fees": {"standard": {"rounding": "carry", "components": [{"name": "processing", "percent": "2.5"}]}},
}
COUNT = 20


@pytest.fixture
async def stage() -> MemoryStage:
    """A worker whose fees are rounded by carry."""
    return MemoryStage(planner=Planner(rule_table(CARRIED)))


def payment(number: int, **changes: Any) -> bytes:
    return body(payment_id=f"pay-{number}", amount={"value": "0.10", "currency": "EUR"}, **changes)


def fee(message: bytes) -> int:
    """A dispatch's one fee in cents."""
    (one,) = orjson.loads(message)["fees"]
    return int(Fraction(one["amount"]["value"]) * 100)


async def test_the_total_of_fees_is_exact(stage: MemoryStage) -> None:
    """Each fee is a quarter of a cent: every fourth payment pays one, and each dispatch conserves."""
    memory = Memory()
    stage.remember(MemoryJournal("this worker", memory=memory))
    for number in range(COUNT):
        stage.put(payment(number))
    await stage.drain(COUNT)
    fees = [fee(one.body) for one in stage.queue("alpha")]
    assert sum(fees) == COUNT // 4
    for one in stage.queue("alpha"):
        sent = orjson.loads(one.body)
        assert Fraction(sent["net"]["value"]) == Fraction(10 - fee(one.body), 100)
    assert [str(kept.remainder) for kept in MemoryBooks(memory).remainders().values()] == ["0"]


async def test_each_account_has_its_own_remainders(stage: MemoryStage) -> None:
    """What one merchant's payments leave is not charged to another's."""
    memory = Memory()
    stage.remember(MemoryJournal("this worker", memory=memory))
    for number in range(4):
        stage.put(payment(number, merchant_id=f"studio-{number}"))
    await stage.drain(4)
    assert sum(fee(one.body) for one in stage.queue("alpha")) == 0
    assert {str(kept.remainder) for kept in MemoryBooks(memory).remainders().values()} == {"1/4"}


async def test_a_fallback_is_charged_the_same(stage: MemoryStage) -> None:
    """The next candidate's dispatch has the amounts of the first claim, and the remainder is taken once."""
    memory = Memory()
    stage.remember(MemoryJournal("this worker", memory=memory))
    stage.put(payment(0))
    stage.put(payment(1))
    await stage.drain(2)
    stage.broker.full.add("alpha")
    stage.remember(MemoryJournal("this worker", memory=memory))
    stage.put(payment(2))
    await stage.drain(1)
    assert [fee(one.body) for one in stage.queue("beta")] == [1]
    assert [str(kept.remainder) for kept in MemoryBooks(memory).remainders().values()] == ["-1/4"]


async def test_without_a_journal_every_payment_is_rounded_alone(stage: MemoryStage) -> None:
    """Nobody keeps the remainders, so each is rounded half even and what is left is forgotten."""
    for number in range(4):
        stage.put(payment(number))
    await stage.drain(4)
    assert [fee(one.body) for one in stage.queue("alpha")] == [0, 0, 0, 0]
