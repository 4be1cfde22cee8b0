"""Laws of allocation and splits."""

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from worker.money import ISO_4217, MAX_UNITS, MIN_UNITS, REST, Money, Percent, Share, Split, allocate

totals = st.integers(MIN_UNITS, MAX_UNITS)
weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any)
increments = st.sampled_from([1, 1, 5, 10, 50, 100, 500])


@given(totals, weights, increments)
def test_allocation_conserves_and_is_fair(total: int, ratios: list[int], increment: int) -> None:
    """Shares sum to the total, go by the increment, and are within one of it of the exact share."""
    total -= total % increment
    shares = allocate(total, ratios, increment)
    assert sum(shares) == total
    for share, ratio in zip(shares, ratios, strict=True):
        assert share % increment == 0
        assert abs(share - Fraction(total * ratio, sum(ratios))) < increment
        assert ratio or share == 0


@given(totals, weights)
def test_allocation_is_the_largest_remainder_method(total: int, ratios: list[int]) -> None:
    """Nobody who got no extra unit had a larger remainder, or the same one earlier in the list."""
    shares = allocate(abs(total), ratios)
    exact = [Fraction(abs(total) * ratio, sum(ratios)) for ratio in ratios]
    ranks = [
        (floor(x) - x, i, share - floor(x)) for i, (x, share) in enumerate(zip(exact, shares, strict=True))
    ]
    extras = [extra for _, _, extra in sorted(ranks)]
    assert extras == sorted(extras, reverse=True)
    assert set(extras) <= {0, 1}


@given(totals, weights)
def test_negative_totals_mirror(total: int, ratios: list[int]) -> None:
    """A refund takes from each what the payment gave."""
    assert allocate(-abs(total), ratios) == [-share for share in allocate(abs(total), ratios)]


@given(totals, weights, st.integers(1, 1000))
def test_only_the_proportions_matter(total: int, ratios: list[int], factor: int) -> None:
    """Multiplying every weight changes nothing."""
    assert allocate(total, ratios) == allocate(total, [ratio * factor for ratio in ratios])


@st.composite
def inner_shares(draw: st.DrawFn, depth: int) -> tuple[Share, ...]:
    count = draw(st.integers(0, 3)) if depth else 0
    return tuple(
        Share(f"s{i}", Percent(draw(st.integers(0, 33_333_333)), 6), draw(inner_shares(depth - 1)))
        for i in range(count)
    )


@st.composite
def splits(draw: st.DrawFn) -> Split:
    if draw(st.booleans()):
        ratios = draw(weights)
        return Split(tuple(Share(f"r{i}", ratio, draw(inner_shares(2))) for i, ratio in enumerate(ratios)))
    shares = [
        Share(f"p{i}", Percent(draw(st.integers(0, 20_000)), 3), draw(inner_shares(2)))
        for i in range(draw(st.integers(0, 5)))
    ]
    rests = [Share(f"rest{i}", REST, draw(inner_shares(1))) for i in range(draw(st.integers(1, 3)))]
    return Split(tuple(draw(st.permutations(shares + rests))))


def exact_shares(shares: tuple[Share, ...], whole: Fraction, prefix: str = "") -> dict[str, Fraction]:
    """Split in fractions: an owner keeps what the shares inside of it leave."""
    ratios = [share.weight for share in shares if isinstance(share.weight, int)]
    percents = [
        Fraction(s.weight.units, 100 * 10**s.weight.scale) for s in shares if isinstance(s.weight, Percent)
    ]
    rests = sum(share.weight is REST for share in shares)
    result: dict[str, Fraction] = {}
    for share in shares:
        if isinstance(share.weight, int):
            part = whole * share.weight / sum(ratios)
        elif isinstance(share.weight, Percent):
            part = whole * Fraction(share.weight.units, 100 * 10**share.weight.scale)
        else:
            part = whole * (1 - sum(percents)) / rests
        inside = exact_shares(share.inside, part, f"{prefix}{share.name}/")
        direct = [inside[f"{prefix}{share.name}/{inner.name}"] for inner in share.inside]
        nested = sum(inside.values())
        result[prefix + share.name] = part - nested
        result |= inside
        assert len(direct) == len(share.inside)
    return result


@given(splits(), totals, increments)
def test_splits_conserve_and_stay_near_the_exact_share(split: Split, total: int, increment: int) -> None:
    """Nested shares sum to the whole, in increments, each within a few of its exact share."""
    total -= total % increment
    units = split.units(total, increment)
    assert sum(units) == total
    assert all(unit % increment == 0 for unit in units)
    exact = exact_shares(split.shares, Fraction(total))
    assert tuple(exact) == split.paths
    for path, unit in zip(split.paths, units, strict=True):
        assert abs(unit - exact[path]) < 4 * increment


@given(splits(), totals)
def test_the_trail_of_a_split_is_exact(split: Split, total: int) -> None:
    """Each step holds the exact part and the bill's sum, and the remainders cancel out."""
    shares = split.allocate(Money(total, ISO_4217.lookup("JPY")))
    exact = {share.path: Fraction(share.step.numerator, share.step.denominator) for share in shares}
    assert exact == exact_shares(split.shares, Fraction(total))
    assert [share.step.result for share in shares] == [share.money.units for share in shares]
    assert sum(Fraction(share.step.remainder) for share in shares) == 0


@given(splits(), totals)
def test_splits_mirror(split: Split, total: int) -> None:
    """A refund of a nested split is its mirror image."""
    assert split.units(-abs(total)) == [-unit for unit in split.units(abs(total))]
