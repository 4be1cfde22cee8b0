"""Settlement files as processors write them."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.bookkeeping.settlement import Settled, SettlementFile, Unreadable
from worker.errors import InvalidSettlement
from worker.money import format_units

TWELVE = 12 * 10**12 + 34 * 10**10


def read(content: str | bytes, **columns: str) -> list[Any]:
    data = content.encode() if isinstance(content, str) else content
    return list(SettlementFile(io.BytesIO(data), columns))


@pytest.mark.parametrize(
    "content",
    [
        "payment_id,amount,currency\np1,12.34,EUR\n",
        "\ufeffpayment_id,amount,currency\r\np1,12.34,EUR\r\n",
        "currency;note; amount ;payment_id\neur;x; 12.340 ;p1",
        'payment_id\tamount\tcurrency\n"p1"\t"12.34"\tEUR\n\n',
    ],
)
def test_csv(content: str) -> None:
    """In any order of columns, with other columns, delimiters, marks and line ends."""
    assert read(content) == [Settled(2, "p1", "EUR", TWELVE)]


@pytest.mark.parametrize(
    "line",
    [
        '{"payment_id":"p1","amount":"12.34","currency":"EUR"}',
        '{"payment_id": "p1", "amount": 12.34, "currency": "eur", "more": [1]}',
        '{"payment_id":"p1","amount":{"value":"12.34","currency":"EUR"}}',
    ],
)
def test_ndjson(line: str) -> None:
    """With amounts as text, as numbers taken as they are written, and as payments have them."""
    assert read(f"{line}\n\n{line}") == [Settled(1, "p1", "EUR", TWELVE), Settled(3, "p1", "EUR", TWELVE)]


def test_numbers_in_json_stay_exact() -> None:
    """Twelve decimals that a binary fraction would not hold."""
    (line,) = read('{"payment_id":"p","amount":123456.123456789012,"currency":"EUR"}')
    assert line.units == 123456123456789012


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("p1,,EUR", "no amount"),
        ("p1,12.34", "no currency"),
        (",12.34,EUR", "no payment_id"),
        ('p1,"12,34",EUR', "expected a plain decimal"),
        ('p1,"1\x0012.34",EUR', "amount"),
    ],
)
def test_unreadable_lines_of_csv(line: str, why: str) -> None:
    """Each is told with its number, and stops nothing."""
    found = read(f"payment_id,amount,currency\n{line}\np2,1,USD\n")
    assert [type(one) for one in found] == [Unreadable, Settled]
    assert (found[0].line, why in found[0].why) == (2, True), found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"payment_id":"p1","amount":{},"currency":"EUR"}', "no amount"),
        ('{"payment_id":7,"amount":true,"currency":"EUR"}', "no amount"),
        ('{"payment_id":"p1","amount":1e3,"currency":"EUR"}', "expected a plain decimal"),
    ],
)
def test_unreadable_lines_of_ndjson(line: str, why: str) -> None:
    """Likewise."""
    good = '{"payment_id":"p2","amount":"1","currency":"USD"}'
    found = read(f"{good}\n{line}\n{good}\n")
    assert [type(one) for one in found] == [Settled, Unreadable, Settled]
    assert (found[1].line, why in found[1].why) == (2, True), found


def test_columns_of_other_names() -> None:
    """As the processor calls them, in both formats."""
    names = {"payment_id": "Reference", "amount": "Gross"}
    assert read("Reference,currency,Gross\np1,EUR,12.34", **names) == [Settled(2, "p1", "EUR", TWELVE)]
    line = '{"Reference":"p1","currency":"EUR","Gross":"12.34"}'
    assert read(line, **names) == [Settled(1, "p1", "EUR", TWELVE)]


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("payment_ids,amount,currency\n", "--column payment_id=payment_ids"),
        ("p1,12.34,EUR\n", "--column payment_id=NAME names it; its first line must name the columns"),
        ("", "is: (empty)"),
    ],
)
def test_files_without_the_columns(content: str, hint: str) -> None:
    """Refused as a whole, with the nearest name and with what is there."""
    with pytest.raises(InvalidSettlement) as caught:
        read(content)
    assert hint in str(caught.value)


def test_bytes_that_are_no_text() -> None:
    """They make an id that nobody knows, not a crash."""
    (line,) = read(b"payment_id,amount,currency\np\xff1,1,EUR\n")
    assert line.payment_id == "p\ufffd1"


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20),
            st.integers(0, 10**15), st.integers(0, 12),
        )
    )
)  # fmt: skip
def test_what_csv_writes_is_read(rows: list[tuple[str, int, int]]) -> None:
    """Ids with quotes and delimiters in them, too; each line with its number."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["payment_id", "amount", "currency"])
    writer.writerows((name, format_units(units, scale), "EUR") for name, units, scale in rows)
    expected = [
        Settled(number, name, "EUR", units * 10 ** (12 - scale))
        for number, (name, units, scale) in enumerate(rows, start=2)
    ]
    assert read(text.getvalue()) == expected
