"""Allocation: units are split, never lost or made."""

import pytest

from worker.errors import InvalidAmount, InvalidMoneyRule, NotConserved
from worker.money import ISO_4217, REST, Money, Percent, Share, Split, allocate

EUR, CHF = ISO_4217.lookup("EUR"), ISO_4217.lookup("CHF")


def percent(name: str, text: str, *inside: Share) -> Share:
    return Share(name, Percent.parse(text), inside)


@pytest.mark.parametrize(
    "total, weights, shares",
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (101, [1, 1, 1], [34, 34, 33]),
        (5, [3, 7], [2, 3]),
        (5, [7, 3], [4, 1]),
        (10, [5, 3, 1], [6, 3, 1]),
        (7, [1, 2, 4], [1, 2, 4]),
        (1, [1, 1000], [0, 1]),
        (0, [1, 2], [0, 0]),
        (5, [0, 1, 0], [0, 5, 0]),
        (1, [0, 1, 1], [0, 1, 0]),
        (9, [4], [9]),
    ],
)
def test_the_largest_remainders_get_what_is_left(total: int, weights: list[int], shares: list[int]) -> None:
    """What rounding down leaves goes to the largest remainders, ties in order; zero weights get zero."""
    assert allocate(total, weights) == shares


def test_negative_totals_are_the_mirror_image() -> None:
    """A refund takes back from each exactly what it got."""
    assert allocate(-100, [1, 1, 1]) == [-34, -33, -33]
    assert allocate(-5, [7, 3]) == [-4, -1]


def test_shares_are_multiples_of_the_increment() -> None:
    """Cash shares are sums that coins can pay."""
    assert allocate(100, [1, 1, 1], 5) == [35, 35, 30]
    assert allocate(-100, [1, 1, 1], 5) == [-35, -35, -30]
    assert allocate(0, [1, 1], 5) == [0, 0]


@pytest.mark.parametrize("total", [101, -101, 4])
def test_a_total_that_coins_cannot_pay_is_refused(total: int) -> None:
    """Rounding to cash comes before the split."""
    message = f"total of {total} units: no multiple of the increment 5; round it first"
    with pytest.raises(InvalidAmount) as caught:
        allocate(total, [1, 1], 5)
    assert str(caught.value) == message
    with pytest.raises(InvalidAmount) as caught:
        Split((Share("a", 1),)).units(total, 5)
    assert str(caught.value) == message


@pytest.mark.parametrize("weight", [-1, True, 0.5, "1"])
def test_weights_are_integers_of_zero_or_more(weight: int) -> None:
    """Other weights are refused and shown."""
    with pytest.raises(InvalidMoneyRule) as caught:
        allocate(10, [1, weight])
    assert str(caught.value) == f"weight {weight!r}: expected an integer of zero or more"


@pytest.mark.parametrize("total", [True, 1.0, "1"])
def test_totals_are_integers(total: int) -> None:
    """Booleans, floats and text are refused at the door."""
    message = f"total {total!r} is of type {type(total).__name__}: only int is exact here"
    for split in (lambda: allocate(total, [1, 1]), lambda: Split((Share("a", 1),)).units(total)):
        with pytest.raises(InvalidAmount) as caught:
            split()
        assert str(caught.value) == message


@pytest.mark.parametrize("increment", [0, -5, 5.0, 1.0, True, "5"])
def test_increments_are_units_of_one_or_more(increment: int) -> None:
    """No other increment exists."""
    split = Split((Share("a", 1), Share("b", 1)))
    for compute in (lambda: allocate(-10, [1, 1], increment), lambda: split.units(10, increment)):
        with pytest.raises(InvalidAmount) as caught:
            compute()
        assert str(caught.value) == f"increment {increment!r}: expected 1 or more units"


@pytest.mark.parametrize("weights", [[], [0], [0, 0]])
def test_some_weight_is_above_zero(weights: list[int]) -> None:
    """Nobody to give it to is an error, even for a total of zero."""
    with pytest.raises(InvalidMoneyRule) as caught:
        allocate(0, weights)
    assert str(caught.value) == "weights: at least one must be above zero"


def allocated(split: Split, text: str, *, cash: bool = False) -> dict[str, str]:
    return {part.path: str(part.money) for part in split.allocate(Money.parse(text, CHF), cash=cash)}


def test_ratios() -> None:
    """Integer ratios split as allocate does."""
    split = Split((Share("a", 70), Share("b", 30), Share("c", 0)))
    assert allocated(split, "0.05") == {"a": "0.04", "b": "0.01", "c": "0.00"}
    assert split.paths == ("a", "b", "c")


def test_percentages_of_many_decimals_make_a_hundred() -> None:
    """Percentages are exact decimals, so 33.3 + 66.7 are 100."""
    split = Split((percent("a", "33.3"), percent("b", "66.7")))
    assert allocated(split, "10.00") == {"a": "3.33", "b": "6.67"}


def test_one_rest_gets_what_the_percentages_leave() -> None:
    """The seller gets what fees leave."""
    split = Split((percent("platform", "12.5"), Share("seller", REST)))
    assert allocated(split, "10.01") == {"platform": "1.25", "seller": "8.76"}


def test_several_rests_share_equally() -> None:
    """Two rests of two thirds get a third each, exactly."""
    split = Split((Share("a", REST), percent("b", "33.3"), Share("c", REST)))
    assert allocated(split, "20.00") == {"a": "6.67", "b": "6.66", "c": "6.67"}


def test_a_rest_of_nothing_gets_nothing() -> None:
    """Percentages may make 100 % and leave a rest of zero."""
    split = Split((percent("a", "100"), Share("b", REST)))
    assert allocated(split, "1.00") == {"a": "1.00", "b": "0.00"}


def test_shares_inside_are_taken_out_of_their_owner() -> None:
    """Platform 30 %, of which 2 % are for the referral; the platform keeps the others."""
    split = Split(
        (percent("seller", "70"), percent("platform", "30", percent("referral", "2"), percent("tax", "10")))
    )
    assert split.paths == ("seller", "platform", "platform/referral", "platform/tax")
    assert allocated(split, "100.00") == {
        "seller": "70.00",
        "platform": "26.40",
        "platform/referral": "0.60",
        "platform/tax": "3.00",
    }


def test_shares_nest_within_ratios_and_within_shares() -> None:
    """What is inside may have something inside."""
    split = Split((Share("a", 1), Share("b", 1, (percent("c", "50", percent("d", "50")),))))
    assert allocated(split, "8.00") == {"a": "4.00", "b": "2.00", "b/c": "1.00", "b/c/d": "1.00"}


def test_what_is_inside_may_take_everything() -> None:
    """An owner can pass all of it on."""
    split = Split((Share("a", 1, (percent("b", "100"),)),))
    assert allocated(split, "0.03") == {"a": "0.00", "a/b": "0.03"}


def test_cash_splits_go_by_the_increment() -> None:
    """Nobody is owed a sum without a coin."""
    split = Split((Share("a", 1), Share("b", 1, (percent("c", "50"),))))
    assert allocated(split, "1.00", cash=True) == {"a": "0.50", "b": "0.25", "b/c": "0.25"}
    assert allocated(split, "0.05", cash=True) == {"a": "0.05", "b": "0.00", "b/c": "0.00"}
    assert allocated(split, "0.05") == {"a": "0.03", "b": "0.01", "b/c": "0.01"}
    assert [str(part.money) for part in split.allocate(Money(5, CHF))] == ["0.03", "0.01", "0.01"]
    for units in (101, -1):
        with pytest.raises(InvalidAmount) as caught:
            split.allocate(Money(units, CHF), cash=True)
        assert str(caught.value) == (
            f"amount {Money(units, CHF)} CHF: no multiple of 0.05 in cash; round it first"
        )


def test_a_split_has_its_trail() -> None:
    """Each share's exact part of the total, what it got, and what that is more or less."""
    split = Split((percent("platform", "30", percent("referral", "2")), Share("seller", REST)))
    steps = [part.step for part in split.allocate(Money(1001, CHF))]
    assert [str(step) for step in steps] == [
        "platform: 2.94294 -> 2.94 CHF (largest_remainder, remainder 0.00294)",
        "platform/referral: 0.06006 -> 0.06 CHF (largest_remainder, remainder 0.00006)",
        "seller: 7.007 -> 7.01 CHF (largest_remainder, remainder -0.003)",
    ]
    assert {step.verb for step in steps} == {"allocated"}
    coins = Split((Share("a", 1), Share("b", 2))).allocate(Money(100, CHF), cash=True)
    assert str(coins[0].step) == ("a: 1/3 -> 0.35 CHF (largest_remainder in steps of 0.05, remainder -1/60)")


def test_refunds_mirror_splits() -> None:
    """Negative money splits into the negative shares."""
    split = Split((percent("a", "50", percent("b", "50")), Share("c", REST)))
    assert split.units(-7) == [-2, -2, -3]
    assert split.units(7) == [2, 2, 3]
    assert split.units(-35, 5) == [-10, -10, -15]


@pytest.mark.parametrize(
    "shares, message",
    [
        ((), "shares: 100 % are left over; add a rest share or make 100 %"),
        ((percent("a", "99.5"),), "shares: 0.5 % are left over; add a rest share or make 100 %"),
        ((percent("a", "60"), percent("b", "40.01")), "shares a, b: they make 100.01 %, 100 % at most"),
        (
            (percent("a", "60"), percent("b", "40.01"), Share("c", REST)),
            "shares a, b, c: they make 100.01 %, 100 % at most",
        ),
        (
            (Share("a", 1), percent("b", "50")),
            "shares: ratios do not mix with percentages or rest; use one kind",
        ),
        (
            (Share("a", 1), Share("b", REST)),
            "shares: ratios do not mix with percentages or rest; use one kind",
        ),
        ((Share("a", -1),), "weight -1: expected an integer of zero or more"),
        ((Share("a", 0),), "weights: at least one must be above zero"),
        ((Share("a", 1), Share("a", 1)), "share 'a': needs a name of its own, without a slash"),
        ((Share("", 1),), "share '': needs a name of its own, without a slash"),
        ((Share("a/b", 1),), "share 'a/b': needs a name of its own, without a slash"),
        (
            (Share("a", 1, (percent("b", "1"), percent("b", "2"))),),
            "share 'a/b': needs a name of its own, without a slash",
        ),
        ((Share("a", 1, (Share("b", 2),)),), "share b inside a: must be a percentage; a keeps the rest"),
        ((Share("a", 1, (Share("b", REST),)),), "share b inside a: must be a percentage; a keeps the rest"),
        (
            (Share("a", 1, (percent("b", "60"), percent("c", "60"))),),
            "shares a, b, c: they make 120 %, 100 % at most",
        ),
    ],
)
def test_splits_that_do_not_add_up_are_refused(shares: tuple[Share, ...], message: str) -> None:
    """A split that could lose or create a unit is not a split."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Split(shares)
    assert str(caught.value) == message


@pytest.mark.parametrize("weight", [True, 0.5, "30", None])
def test_weights_are_integers_percentages_or_the_rest(weight: int) -> None:
    """A float would be cut or never add up, and a bool is a slip."""
    with pytest.raises(InvalidMoneyRule) as caught:
        Share("a", weight)
    assert str(caught.value) == f"share 'a': weight {weight!r}, expected an integer, a Percent or REST"


def test_names_may_repeat_inside_different_owners() -> None:
    """A path is unique when its names are, at each level."""
    split = Split((Share("a", 1, (percent("x", "10"),)), Share("b", 1, (percent("x", "10"),))))
    assert split.paths == ("a", "a/x", "b", "b/x")


def nested(depth: int) -> Split:
    share = percent("s", "10")
    for _ in range(depth - 1):
        share = percent("s", "10", share)
    return Split((share, Share("rest", REST)))


def test_shares_nest_eight_deep_and_no_deeper() -> None:
    """Depth is bounded, so that no rule file can exhaust the stack."""
    assert len(nested(8).paths) == 9
    with pytest.raises(InvalidMoneyRule) as caught:
        nested(9)
    assert str(caught.value) == "share s/s/s/s/s/s/s/s: nested more than 8 deep"


def test_equal_splits_are_equal() -> None:
    """A split is its shares."""
    assert Split((Share("a", 1),)) == Split((Share("a", 1),))
    assert Split((Share("a", 1),)) != Split((Share("a", 2),))


def test_shares_that_do_not_add_up_are_never_returned() -> None:
    """A split whose weights were tampered with refuses to split."""
    split = Split((Share("a", 1), Share("b", 1)))
    object.__setattr__(split, "_root", split._root._replace(whole=1))
    for total, shares in ((5, "[5, 5]"), (-5, "[-5, -5]")):
        with pytest.raises(NotConserved) as caught:
            split.units(total)
        assert str(caught.value) == f"total of {total} units split into {shares}: the shares do not add up"
