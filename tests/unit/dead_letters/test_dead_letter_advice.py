"""What to do next, by code."""

from collections.abc import Iterator

import pytest

from worker import errors
from worker.dead_letters import advice_for
from worker.dead_letters.advice import ADVICE
from worker.retry_settings import retried_codes


def leaves(branch: type[errors.WorkerError]) -> Iterator[type[errors.WorkerError]]:
    for leaf in branch.__subclasses__():
        yield leaf
        yield from leaves(leaf)


def test_every_code_that_kills_a_payment_has_advice() -> None:
    """Nobody who meets a code of ours is left without a next step."""
    assert {leaf.code for leaf in leaves(errors.PermanentError)} - ADVICE.keys() == set()


@pytest.mark.parametrize("advice", ADVICE.values())
def test_advice_is_one_line_that_ends_in_an_action(advice: str) -> None:
    """It is one sentence or two, and names a way out of the queue."""
    assert "\n" not in advice
    assert advice.endswith(".")
    assert any(word in advice for word in ("redrive", "drop"))


def test_exhausted_retries_are_explained_by_what_each_attempt_met() -> None:
    """Each cause is named once, in the order it was met; codes nobody knows add nothing."""
    advice = advice_for("retries_exhausted", ["unroutable", "publish_refused", "unroutable", "odd"])
    assert advice.index("bind the processor's inbox") < advice.index("empty its full inbox")
    assert advice.count("bind the processor's inbox") == 1
    assert advice_for("retries_exhausted", ["odd"]) == ADVICE["retries_exhausted"]


def test_every_code_of_a_failed_attempt_is_explained() -> None:
    """Whatever an attempt met, exhausted retries say what to mend."""
    known = ADVICE["retries_exhausted"]
    codes = set(retried_codes())
    assert {code for code in codes if advice_for("retries_exhausted", [code]) == known} == set()


def test_code_of_a_rule_is_explained_too() -> None:
    """A word that a rule or plugin made up leads to the rules."""
    assert "rules explain" in advice_for("no_francs")
