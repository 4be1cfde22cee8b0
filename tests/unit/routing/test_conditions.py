"""What each condition means, asked of compiled tables."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

GROUPS = {"eea": ["DE", "FR"], "west": ["$eea", "US"], "odd": ["$$literal", 7, True]}


@pytest.mark.parametrize(
    "when, country, expected",
    [
        ({"country": "DE"}, "DE", True),
        ({"country": "DE"}, "FR", False),
        ({"country": ["DE", "FR"]}, "FR", True),
        ({"country": {"ne": "DE"}}, "FR", True),
        ({"country": {"ne": "DE"}}, "DE", False),
        ({"country": {"not_in": ["DE", "FR"]}}, "US", True),
        ({"country": {"in": "$eea"}}, "FR", True),
        ({"country": "$west"}, "US", True),
        ({"country": {"not_in": "$west"}}, "DE", False),
        ({"country": {"prefix": "D"}}, "DE", True),
        ({"country": {"suffix": ["R", "S"]}}, "US", True),
        ({"country": {"exists": True}}, "DE", True),
        ({"country": {"exists": False}}, "DE", False),
    ],
)
def test_text_operators(decides, pay, when, country, expected):
    """Operators on text hold for what they name, with groups expanded."""
    assert decides(when, pay(country=country), groups=GROUPS) is expected


@pytest.mark.parametrize(
    "when, expected",
    [
        ({"country": "DE"}, False),
        ({"country": {"ne": "DE"}}, False),
        ({"country": {"not_in": ["DE"]}}, False),
        ({"country": {"glob": "*"}}, False),
        ({"country": {"exists": False}}, True),
        ({"not": {"country": "DE"}}, True),
        ({"not": {"country": {"ne": "DE"}}}, True),
        ({"metadata.x": {"gt": 1}}, False),
        ({"not": {"metadata.x": {"gt": 1}}}, True),
        ({"method.bin": {"bin": "4"}}, False),
    ],
)
def test_a_missing_field_fulfils_nothing_but_its_absence(decides, pay, when, expected):
    """A condition on a missing field does not hold, ``ne`` included; ``not`` is plain negation."""
    assert decides(when, pay()) is expected


@pytest.mark.parametrize(
    "written, value, expected",
    [
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (1, 1, True),
        ("1", 1, False),
        ("true", True, False),
        (False, 0, False),
    ],
)
def test_booleans_integers_and_text_are_never_equal(decides, pay, written, value, expected):
    """A value in metadata equals what has its own type only."""
    assert decides({"metadata.flag": written}, pay(metadata={"flag": value})) is expected


@pytest.mark.parametrize("value", [["visa"], {"a": 1}, 0.5])
def test_lists_objects_and_fractions_are_there_and_equal_nothing(decides, pay, value):
    """Such a value exists and is different from every name, but no comparison holds for it."""
    payment = pay(method={"network": value})
    assert decides({"method.network": {"exists": True}}, payment)
    assert decides({"method.network": {"ne": "visa"}}, payment)
    assert not decides({"method.network": {"glob": "*"}}, payment)
    assert not decides({"method.network": {"gte": 0}}, payment)


def test_null_in_a_method_is_missing(decides, pay):
    """JSON null says that there is nothing."""
    assert decides({"method.network": {"exists": False}}, pay(method={"network": None}))


def test_dots_reach_into_the_method(decides, pay):
    """``method.card.brand`` is the member ``brand`` of the object ``card``."""
    payment = pay(method={"card": {"brand": "visa"}})
    assert decides({"method.card.brand": "visa"}, payment)
    assert not decides({"method.card.brand.name": "visa"}, payment)


def test_dots_belong_to_the_name_in_metadata(decides, pay):
    """Metadata is flat, so everything after ``metadata.`` is one key."""
    assert decides({"metadata.shop.level": 3}, pay(metadata={"shop.level": 3}))


@pytest.mark.parametrize(
    "operators, value, expected",
    [
        ({"gt": 5}, 5, False),
        ({"gt": 5}, 6, True),
        ({"gte": 5}, 5, True),
        ({"lt": 5}, 5, False),
        ({"lte": 5}, 5, True),
        ({"between": [5, 7]}, 7, True),
        ({"between": [5, 7]}, 8, False),
        ({"gte": 5, "lt": 7}, 7, False),
        ({"gte": -3}, -3, True),
    ],
)
def test_integer_comparisons(decides, pay, operators, value, expected):
    """Comparisons on metadata are of integers, ends as the operator says."""
    assert decides({"metadata.level": operators}, pay(metadata={"level": value})) is expected


@pytest.mark.parametrize(
    "operators, amount, expected",
    [
        ({"gte": "10"}, "10.00 EUR", True),
        ({"gt": "10"}, "10.000000000001 EUR", True),
        ({"gt": "10"}, "10.00 EUR", False),
        ({"lt": "10"}, "9.999999999999 EUR", True),
        ({"lte": "10"}, "10 EUR", True),
        ({"lte": "10"}, "10.000000000001 EUR", False),
        ({"gte": "10 EUR"}, "10.00 EUR", True),
        ({"gte": "10 EUR"}, "1000.00 USD", False),
        ({"gte": ["10 EUR", "1500 JPY"]}, "1500 JPY", True),
        ({"gte": ["10 EUR", "1500 JPY"]}, "100 JPY", False),
        ({"gte": ["10 EUR", "1500 JPY"]}, "100000 USD", False),
        ({"between": ["1 EUR", "2 EUR"]}, "2.00 EUR", True),
        ({"ne": "10"}, "10.00 EUR", False),
        ("10.0", "10.00 EUR", True),
        (["1", "10 EUR"], "10.00 EUR", True),
        ({"not_in": ["10 EUR"]}, "10.00 USD", True),
        ({"gt": "5", "lt": "1"}, "3 EUR", False),
    ],
)
def test_amounts_compare_exactly(decides, pay, operators, amount, expected):
    """Amounts compare at twelve decimals; one that names a currency holds for that currency only."""
    assert decides({"amount": operators}, pay(amount)) is expected


@pytest.mark.parametrize(
    "ranges, number, expected",
    [
        (["411111"], "411111", True),
        (["411111"], "4111112222", True),
        (["411111"], "411112", False),
        (["400000-499999"], "499999", True),
        (["400000-499999"], "500000", False),
        (["0400-0500"], "0450", True),
        (["411111"], "4111", False),
        (["4"], "4x", True),
        (["41"], "4x", False),
        (["41"], "4٤", False),
    ],
)
def test_card_ranges(decides, pay, ranges, number, expected):
    """A card range compares as many leading ASCII digits as it has itself, both ends included."""
    assert decides({"method.bin": {"bin": ranges}}, pay(method={"bin": number})) is expected


@pytest.mark.parametrize(
    "pattern, text, expected",
    [
        ("studio-*", "studio-lumen", True),
        ("studio-*", "studio-", True),
        ("*-eu", "shop-eu", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*a*b*", "xaxxbx", True),
        ("*a*b*", "xbxxax", False),
        ("[a]", "a", False),
        ("a*a", "a", False),
    ],
)
def test_globs(decides, pay, pattern, text, expected):
    """``*`` is any text, ``?`` one character, everything else itself; the whole text must fit."""
    assert decides({"merchant_id": {"glob": pattern}}, pay(merchant_id=text)) is expected


def test_a_glob_made_to_explode_does_not(decides, pay):
    """Patterns that make a backtracking matcher exponential take no noticeable time."""
    assert not decides({"merchant_id": {"glob": "*a" * 40 + "b"}}, pay(merchant_id="a" * 128))


@pytest.mark.parametrize(
    "when, expected",
    [
        ({"created_at": {"gte": "2026-01-07T12:00:00Z"}}, True),
        ({"created_at": {"lt": "2026-01-07T12:00:00Z"}}, False),
        ({"created_at": "2026-01-07T13:00:00+01:00"}, True),
        ({"created_at": {"between": ["2026-01-07T00:00Z", "2026-01-08T00:00Z"]}}, True),
    ],
)
def test_instants_compare_across_offsets(decides, pay, when, expected):
    """``created_at`` compares moments, however they are written."""
    assert decides(when, pay()) is expected


NIGHT = {"days": ["fri"], "from": "22:00", "to": "06:00", "zone": "Europe/Malta"}


@pytest.mark.parametrize(
    "window, moment, expected",
    [
        ({"from": "09:00", "to": "17:00"}, "2026-01-07T09:00:00+00:00", True),
        ({"from": "09:00", "to": "17:00"}, "2026-01-07T08:59:59+00:00", False),
        ({"from": "09:00", "to": "17:00"}, "2026-01-07T17:00:00+00:00", False),
        ({"from": "20:00"}, "2026-01-07T23:59:59+00:00", True),
        ({"days": ["wed"]}, "2026-01-07T12:00:00+00:00", True),
        ({"days": ["thu"]}, "2026-01-07T12:00:00+00:00", False),
        (NIGHT, "2026-01-09T21:00:00+00:00", True),
        (NIGHT, "2026-01-10T04:59:59+00:00", True),
        (NIGHT, "2026-01-10T05:00:00+00:00", False),
        (NIGHT, "2026-01-09T04:00:00+00:00", False),
        (NIGHT, "2026-07-10T20:00:00+00:00", True),
        ({"after": "2026-01-07T12:00:00Z"}, "2026-01-07T12:00:00+00:00", True),
        ({"before": "2026-01-07T12:00:00Z"}, "2026-01-07T12:00:00+00:00", False),
    ],
)
def test_time_windows(decides, pay, window, moment, expected):
    """A window holds from start to before end in its zone; over midnight it belongs to its first day."""
    assert decides({"time": window}, pay(), datetime.fromisoformat(moment)) is expected


def test_the_offset_of_now_does_not_matter(decides, pay):
    """The same instant under another offset gives the same answer."""
    when = {"time": {"from": "09:00", "to": "10:00", "zone": "Asia/Tokyo"}}
    instant = datetime(2026, 1, 7, 0, 30, tzinfo=UTC)
    assert decides(when, pay(), instant)
    assert decides(when, pay(), instant.astimezone(timezone(timedelta(hours=-8))))


def test_several_windows_are_alternatives(decides, pay, now):
    """A list of windows holds when one of them does."""
    assert decides({"time": [{"days": ["mon"]}, {"from": "11:00", "to": "13:00"}]}, pay(), now)


@pytest.mark.parametrize(
    "when, expected",
    [
        ({"any": [{"country": "DE"}, {"type": "card"}]}, True),
        ({"any": [{"country": "DE"}, {"type": "wallet"}]}, False),
        ({"all": [{"type": "card"}, {"currency": "EUR"}]}, True),
        ({"not": {"type": "card", "currency": "USD"}}, True),
        ({"not": {"any": [{"type": "card"}, {"type": "wallet"}]}}, False),
        ({"not": {"not": {"type": "card"}}}, True),
        ({}, True),
        ({"any": [{"merchant_id": f"m-{i}"} for i in range(40)] + [{"merchant_id": "merchant-1"}]}, True),
    ],
)
def test_nesting(decides, pay, when, expected):
    """``all``, ``any`` and ``not`` nest; more alternatives than the index lists one by one work too."""
    assert decides(when, pay()) is expected


def test_a_doubled_dollar_is_a_dollar(decides, pay):
    """``$$x`` stands for the text ``$x``, which is no group."""
    assert decides({"metadata.tag": "$$x"}, pay(metadata={"tag": "$x"}))
