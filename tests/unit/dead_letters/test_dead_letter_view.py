"""How letters look to people: readable, and harmless whatever is in them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import LINE
from tests.support.dead_letters import dead_letter
from worker.commands.dead_letters_options import Looked
from worker.commands.dead_letters_view import age, indent_json, pretty_body, show_letter, show_list
from worker.commands.plain import grouped, mask_cards
from worker.dead_letters import Totals

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(codec="ascii"), max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_pretty_json_is_the_same_json(document: object) -> None:
    """Line breaks and blanks are all that is added: what is read back is equal."""
    assert json.loads(indent_json(json.dumps(document))) == document


def test_pretty_json_keeps_every_token() -> None:
    """Duplicate keys, digits and escapes are what a reader is after: none is tidied away."""
    body = b'{"a":1.50,"a":"x\\u20ac, y","b":[],"c":{ },"d":[1,{"e":null}]}'
    pretty = pretty_body(body)
    assert pretty.splitlines()[:3] == ["{", '  "a": 1.50,', '  "a": "x\\u20ac, y",']
    assert re.sub(r"\s", "", pretty) == re.sub(rb"\s", b"", body).decode()


@pytest.mark.parametrize(
    ("body", "shown"),
    [(b"{bad", "{bad"), (b"\xff\x00", "\\xff\\x00"), (b"a\x1b[31mb\nc", "a\\x1b[31mb\nc"), (b"", "")],
)
def test_what_is_no_json_is_shown_as_text_that_no_terminal_obeys(body: bytes, shown: str) -> None:
    """Control characters are written out; line breaks stay."""
    assert pretty_body(body) == shown


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('"pan":"4111111111111111"', '"pan":"411111******1111"'),
        ("4111 1111 1111 1111,", "411111******1111,"),
        ("378282246310005", "378282*****0005"),
        ("4111111111111112", "4111111111111112"),
        ("411111111111", "411111111111"),
        ("1700000000004", "1700000000004"),
        ("41111111111111110000", "41111111111111110000"),
    ],
)
def test_card_numbers_are_masked(text: str, masked: str) -> None:
    """First six and last four are left of what passes Luhn; other numbers stay (PCI DSS 4.0.1, 3.4.1)."""
    assert mask_cards(text) == masked


def test_letter_is_shown_with_its_attempts_and_a_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    """What, why, where from, each attempt, the body, and how to get on."""
    attempts = '[{"attempt":1,"at":"2026-11-24T11:00:00Z","code":"unroutable","processor":"alpha"}]'
    show_letter(
        dead_letter(code="retries_exhausted", ATTEMPTS=attempts, REDRIVES=2, MESSAGE_ID="m-1", LINE=17)
    )
    out = capsys.readouterr().out
    assert re.search(r"line of it +17 *\n", out)
    assert LINE not in out
    for text in (
        "pay-1",
        "retries_exhausted",
        "10.00 EUR",
        "alpha",
        "card.eur",
        "m-1",
        "2 times",
        '"value": "10.00"',
    ):
        assert text in out
    assert "bind the processor's inbox" in out


def test_letter_of_anybody_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that is missing or odd breaks the view, and no escape reaches the terminal."""
    show_letter(dead_letter(b"\x1b[2J", payment_id="\x1b[31mred", code="odd", DEAD_AT=None, ATTEMPTS=None))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[31mred" in out


def test_list_says_how_many_of_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are cut off, totals are not."""
    letters, totals, looked = [dead_letter(tag=tag) for tag in range(3)], Totals(), Looked(total=9)
    looked.see([*letters, *letters])
    for letter in letters:
        totals.add(letter)
    show_list(letters[:2], totals, looked, frozenset())
    out = capsys.readouterr().out
    assert "2 shown of 3 chosen of 6 dead letters" in out
    assert re.search(r"no_route\s+3\s+30\.00\s+EUR", out)


def test_code_that_none_has_is_told_with_the_nearest() -> None:
    """A typo in a filter is not mistaken for a clean queue."""
    looked = Looked(total=1)
    assert looked.nothing_found(frozenset()) == "no dead letters"
    looked.see([dead_letter()])
    assert looked.nothing_found(frozenset({"no_rout"})).endswith(
        "none has the code no_rout, did you mean no_route?"
    )
    assert looked.nothing_found(frozenset({"no_route"})).endswith("passes the filters")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("1234567.89", "1,234,567.89"), ("-0.01", "-0.01"), ("-4990", "-4,990"), ("0", "0")],
)
def test_amount_keeps_sign_and_digits(amount: str, shown: str) -> None:
    """Separators are all that is added."""
    assert grouped(amount) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (59.4, "59 s"), (60, "1 min"), (7199, "1 h"), (7200, "2 h"), (86400 * 9.9, "9 d")],
)
def test_age_is_in_its_largest_unit(seconds: float, shown: str) -> None:
    """Whole units; a clock that is behind shows nothing negative."""
    assert age(seconds) == shown
