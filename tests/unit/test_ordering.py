"""Waves: no two of one key at once, and each key's items in their order."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from worker.ordering import waves

items = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers()), max_size=40)


def key(item: tuple[str | None, int]) -> str | None:
    return item[0]


@given(items)
def test_no_wave_has_two_of_one_key(batch: list[tuple[str | None, int]]) -> None:
    """What has an order goes alone among its own."""
    for wave in waves(batch, key):
        keys = [key(item) for item in wave if key(item) is not None]
        assert len(keys) == len(set(keys))


@given(items)
def test_each_key_keeps_its_order(batch: list[tuple[str | None, int]]) -> None:
    """Nothing is lost, and wave after wave gives each key's items as they came."""
    came, went = defaultdict(list), defaultdict(list)
    for item in batch:
        came[key(item)].append(item)
    for wave in waves(batch, key):
        assert wave
        for item in wave:
            went[key(item)].append(item)
    assert went == came


@given(items)
def test_there_are_no_more_waves_than_needed(batch: list[tuple[str | None, int]]) -> None:
    """As many as the commonest key has items."""
    keys = [key(item) for item in batch if key(item) is not None]
    most = max((keys.count(one) for one in keys), default=0)
    assert len(waves(batch, key)) == max(most, bool(batch))
