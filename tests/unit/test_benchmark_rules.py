"""The benchmarks' rule files: whatever their size, every payment is dispatched, and by the same rules."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.rule_files import MESSAGE_BYTES, everything_on, payments
from worker.codec import decode
from worker.planning import Plan, Planner
from worker.rules_file import load_rules

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def plans(path: Path, bodies: list[bytes]) -> list[Plan]:
    planner = Planner(load_rules((path,)))
    return [planner.plan(decode(body, "application/json", None, 1 << 20), NOW) for body in bodies]


@pytest.mark.parametrize("rules", [20, 1000])
def test_every_payment_is_dispatched(tmp_path: Path, rules: int) -> None:
    """No payment is rejected, every processor gets some, and the message has the promised length."""
    bodies = payments(2000)
    made = plans(everything_on(tmp_path, rules), bodies)
    processors = Counter(plan.dispatch(0).processor for plan in made)
    assert len(made) == 2000
    assert len(processors) == 5
    assert min(processors.values()) > 20
    assert {len(body) for body in bodies} == {MESSAGE_BYTES}


def test_tables_of_any_length_do_the_same_work(tmp_path: Path) -> None:
    """Ten rules or a thousand: each payment meets the same kind of rule and pays the same."""
    bodies = payments(1000)
    short, long = (plans(everything_on(tmp_path, rules), bodies) for rules in (10, 1000))
    for one, other in zip(short, long, strict=True):
        assert one.rule.partition("-")[0] == other.rule.partition("-")[0]
        assert one.charged.net == other.charged.net


def test_a_table_that_is_too_short_is_refused(tmp_path: Path) -> None:
    """Studios and general rules need a rule each."""
    with pytest.raises(ValueError, match="at least, not 9"):
        everything_on(tmp_path, 9)
