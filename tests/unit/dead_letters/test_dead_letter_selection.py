"""Which letters pass which filters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.dead_letters import dead_letter
from worker.commands.dead_letters_options import read_selection
from worker.dead_letters import Selection, parse_moment
from worker.errors import ConfigurationError

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ATTEMPTS = '[{"attempt":1,"at":"2026-11-24T11:00:00Z","code":"unroutable","processor":"alpha"}]'
LETTER = dead_letter(code="retries_exhausted", ATTEMPTS=ATTEMPTS)
BARE = dead_letter(b"{bad", payment_id=None, code="malformed_message", DEAD_AT=None, tag=2)
ONE_MORE = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("selection", "letter", "bare"),
    [
        (Selection(), True, True),
        (Selection(codes=frozenset({"retries_exhausted", "x"})), True, False),
        (Selection(processors=frozenset({"alpha", "x"})), True, False),
        (Selection(processors=frozenset({"beta"})), False, False),
        (Selection(ids=frozenset({"pay-1"})), True, False),
        (Selection(ids=frozenset({"letter-2"})), False, True),
        (Selection(currency="EUR"), True, False),
        (Selection(currency="USD"), False, False),
        (Selection(currency="EUR", at_least=10 * 10**12, at_most=10 * 10**12), True, False),
        (Selection(currency="EUR", at_least=10 * 10**12 + 1), False, False),
        (Selection(currency="EUR", at_most=10 * 10**12 - 1), False, False),
        (Selection(since=NOON, until=NOON), True, False),
        (Selection(since=NOON + ONE_MORE), False, False),
        (Selection(until=NOON - ONE_MORE), False, False),
    ],
)
def test_filter(selection: Selection, letter: bool, bare: bool) -> None:
    """Bounds are included, and what a letter lacks passes no filter that asks for it."""
    assert (selection.takes(LETTER), selection.takes(BARE)) == (letter, bare)


def test_every_filter_must_hold() -> None:
    """Two filters that hold alone hold together; one that does not is enough to leave a letter out."""
    both = Selection(codes=frozenset({"retries_exhausted"}), currency="EUR")
    assert both.takes(LETTER)
    assert not replace(both, currency="USD").takes(LETTER)
    assert not replace(both, codes=frozenset({"no_route"})).takes(LETTER)


def test_only_no_filter_is_everything() -> None:
    """Any filter at all makes it a selection."""
    assert Selection().is_everything
    assert not Selection(until=NOON).is_everything


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOON - timedelta(hours=2)),
        ("1.5d", NOON - timedelta(hours=36)),
        ("2026-11-24T13:00:00+02:00", NOON - timedelta(hours=1)),
        ("2026-11-24T12:00:00Z", NOON),
    ],
)
def test_moment_is_a_time_or_how_long_ago(text: str, moment: datetime) -> None:
    """RFC 3339 stands for itself, a duration counts back from now."""
    assert parse_moment(text, NOON, "--since") == moment


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-11-24", "2026-11-24T12:00:00", "2x", "", "-2h", "9" * 400 + "d"]
)
def test_what_is_no_moment_is_refused_by_its_option(text: str) -> None:
    """The option and examples are named; a time without an offset could mean two."""
    with pytest.raises(ConfigurationError, match=r"--until.*2026-11-24T12:00:00Z.*2h"):
        parse_moment(text, NOON, "--until")


def read(**given: str) -> Selection:
    names = ("codes", "processors", "ids", "currency", "at_least", "at_most", "since", "until")
    return read_selection(*(given.get(name) for name in names))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"at_least": "1"}, "--min-amount and --max-amount need --currency"),
        ({"currency": "EUR", "at_most": "1,5"}, "--max-amount: amount '1,5'"),
        ({"currency": "EUR", "at_least": "2", "at_most": "1"}, "--min-amount is beyond --max-amount"),
        ({"since": "1h", "until": "2h"}, "--since is beyond --until"),
    ],
)
def test_filters_that_cannot_be_are_refused_by_their_options(given: dict[str, str], said: str) -> None:
    """What says nothing, or leaves nothing between two bounds, is a mistake and no empty result."""
    with pytest.raises(ConfigurationError) as error:
        read(**given)
    assert said in str(error.value)


def test_amounts_are_exact_and_currencies_upper_case() -> None:
    """A bound is read as it is written, at any scale."""
    selection = read(currency="eur", at_least="0.000000000001", at_most="20.005")
    assert (selection.currency, selection.at_least, selection.at_most) == ("EUR", 1, 20_005 * 10**9)
