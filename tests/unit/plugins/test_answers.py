"""What plugins may answer, and that nothing else gets through."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import PluginFailed
from worker.money import ISO_4217, MAX_UNITS, Rate
from worker.routing.answers import (
    Continue,
    Reject,
    Retry,
    read_fees,
    read_predicate,
    read_rate,
    read_step,
)
from worker.routing.questions import Kind, Use

EUR, USD = ISO_4217.lookup("EUR"), ISO_4217.lookup("USD")
USE = {kind: Use(kind, "mine", "{}") for kind in Kind}


class Odd:
    def __repr__(self) -> str:
        pytest.fail("the plugin's own code runs while its answer is read")


class Text(str):
    """Looks like text, and may do anything."""

    __slots__ = ()


class Later(Retry):
    """Looks like a result, and may do anything."""


@pytest.mark.parametrize("answer", [None, 0, 1, "", "yes", [], Odd(), float("nan")])
def test_a_predicate_says_true_or_false(answer: object) -> None:
    """Nothing is taken for true because it is not empty."""
    with pytest.raises(PluginFailed, match=r"predicate mine answered .*; expected True or False"):
        read_predicate(USE[Kind.PREDICATE], answer)


@pytest.mark.parametrize("answer", [True, False])
def test_a_predicates_answer(answer: bool) -> None:
    """What it says is what holds."""
    assert read_predicate(USE[Kind.PREDICATE], answer) is answer


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        "continue",
        Continue,
        Continue(None),  # type: ignore[arg-type]
        Continue([("a", 1)]),  # type: ignore[arg-type]
        Continue({"a": 1.5}),  # type: ignore[dict-item]
        Continue({"a": None}),  # type: ignore[dict-item]
        Continue({"a": {"b": 1}}),  # type: ignore[dict-item]
        Continue({"a": 2**63}),
        Continue({"a": "x" * 1025}),
        Continue({"a": "\ud800"}),
        Continue({"A": 1}),
        Continue({"a.b": 1}),
        Continue({"": 1}),
        Continue({3: 1}),  # type: ignore[dict-item]
        Continue({f"k{n}": n for n in range(33)}),
        Reject("Not a code", "why"),
        Reject("", "why"),
        Reject("x" * 65, "why"),
        Reject("code", None),  # type: ignore[arg-type]
        Reject(None, "why"),  # type: ignore[arg-type]
        Retry(3),  # type: ignore[arg-type]
        Odd(),
        Continue({"a": [Odd()]}),  # type: ignore[dict-item]
        Continue({Text("a"): 1}),
        Reject(Text("code"), "why"),
        Later("why"),
    ],
)
def test_a_steps_nonsense_is_refused(answer: object) -> None:
    """What could not be shown to rules, written into a dispatch or used as a code never is."""
    with pytest.raises(PluginFailed, match="step mine answered"):
        read_step(USE[Kind.STEP], answer)


@pytest.mark.parametrize(
    "answer",
    [
        Continue(),
        Continue({"score": -5, "list": "eu", "hit": False, "name": "Zoë"}),
        Reject("blocked", "on the list"),
        Retry("the service is busy"),
    ],
)
def test_a_steps_answers(answer: Any) -> None:
    """The three results are taken as they are."""
    assert read_step(USE[Kind.STEP], answer) == answer


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [("tax", 1)],
        {"tax": -1},
        {"tax": 1.0},
        {"tax": True},
        {"tax": "1"},
        {"tax": MAX_UNITS + 1},
        {"Tax": 1},
        {"": 1},
        {'"': 1},
        {3: 1},
        {f"fee{n}": n for n in range(33)},
        {"tax": 10**5000},
        {Text("tax"): 1},
        {"tax": Odd()},
        Odd(),
    ],
)
def test_fees_that_are_none(answer: object) -> None:
    """Fees are whole minor units of zero or more, by names that JSON and rules can carry."""
    with pytest.raises(PluginFailed, match=r"fee schedule mine answered .* integers of zero or more"):
        read_fees(USE[Kind.FEES], answer)


@given(
    st.one_of(
        st.none(),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), st.one_of(st.integers(), st.floats())),
        st.binary(),
    )
)
def test_fees_are_refused_or_sound(answer: object) -> None:
    """Whatever a plugin returns, it is refused or a small mapping of names to integers in range."""
    try:
        fees = read_fees(USE[Kind.FEES], answer)
    except PluginFailed:
        return
    assert fees == answer
    assert all(type(fee) is int and 0 <= fee <= MAX_UNITS for fee in fees.values())


def rate(base: Any = EUR, quote: Any = USD, source: Any = "treasury") -> Rate:
    return Rate(base, quote, 11, 10, source, 0)


@pytest.mark.parametrize(
    "answer", [None, "1.1", 1.1, rate(USD, EUR), rate(EUR, ISO_4217.lookup("JPY")), rate(source=None), Odd()]
)
def test_a_rate_of_another_pair_is_none(answer: object) -> None:
    """Only a rate of the pair that was asked for converts money."""
    with pytest.raises(PluginFailed, match=r"rate provider mine answered .*; expected a Rate of EUR/USD"):
        read_rate(USE[Kind.RATES], answer, EUR, USD)


def test_a_rate() -> None:
    """The pair asked for is taken."""
    assert read_rate(USE[Kind.RATES], rate(), EUR, USD) == rate()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"tax": Decimal("1.5")}, "{'tax': Decimal('1.5')}"),
        (Continue({"a": Odd()}), "Continue(add={'a': an object of type Odd})"),  # type: ignore[dict-item]
        ([None, 1.5, "yes"], "[None, 1.5, 'yes']"),
        (Odd(), "an object of type Odd"),
    ],
)
def test_an_answer_is_shown(answer: object, shown: str) -> None:
    """Plain values as they are, a plugin's own objects by their type."""
    with pytest.raises(PluginFailed) as caught:
        read_predicate(USE[Kind.PREDICATE], answer)
    assert str(caught.value) == f"predicate mine answered {shown}; expected True or False"


def test_a_long_answer_is_cut() -> None:
    """The message of a dead letter is not the place for a megabyte."""
    with pytest.raises(PluginFailed) as caught:
        read_predicate(USE[Kind.PREDICATE], "x" * 10**6)
    assert len(str(caught.value)) < 200
