"""Laws of the ack watermark: what is settled is acknowledged, what is not never is."""

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.amqp.watermark import Watermark
from worker.errors import InvariantViolation

orders = st.integers(1, 40).flatmap(lambda n: st.permutations(range(1, n + 1)))


def acknowledge(acks: list[tuple[int, bool]], unacked: set[int]) -> None:
    """Apply acks as a broker does; it closes the channel over a tag that is not outstanding."""
    for tag, multiple in acks:
        assert tag in unacked
        unacked -= {t for t in unacked if t == tag or (multiple and t < tag)}


@given(orders, st.integers(0, 10), st.lists(st.integers(1, 7), min_size=1), st.data())
def test_acks_cover_exactly_what_is_settled(
    order: list[int], patience: int, sizes: list[int], data: st.DataObject
) -> None:
    """In any order and batching: never past a gap, few wait, and all are acked in the end."""
    watermark, unacked, settled = Watermark(patience, delivered=len(order)), set(order), set[int]()
    rest = list(order)
    while rest:
        size = data.draw(st.sampled_from(sizes))
        batch, rest = rest[:size], rest[size:]
        settled |= set(batch)
        acknowledge(watermark.settle(batch), unacked)
        acked = set(order) - unacked
        assert acked <= settled
        assert watermark.unacknowledged == len(unacked)
        assert len(settled - acked) <= patience
    assert not unacked
    assert watermark.low == len(order)
    assert watermark.remembered == 0


@given(orders, st.integers(0, 40))
def test_flushing_acknowledges_what_waits(order: list[int], cut: int) -> None:
    """Before a lane closes, everything settled is acknowledged, and nothing else."""
    watermark, unacked = Watermark(patience=1000, delivered=len(order)), set(order)
    settled = order[:cut]
    acknowledge(watermark.settle(settled), unacked)
    acknowledge(watermark.flush(), unacked)
    assert unacked == set(order) - set(settled)
    assert watermark.flush() == []


@given(orders, st.integers(0, 40), st.integers(0, 10), st.data())
def test_settling_twice_is_always_noticed(
    order: list[int], cut: int, patience: int, data: st.DataObject
) -> None:
    """A tag is refused a second time wherever it is: below the mark, waiting, or acknowledged alone."""
    settled = order[: max(1, cut)]
    watermark = Watermark(patience, delivered=len(order))
    for tag in settled:
        watermark.settle([tag])
    again = data.draw(st.sampled_from(settled))
    with pytest.raises(InvariantViolation, match=f"delivery tag {again} is settled twice"):
        watermark.settle([again])


@given(st.integers(1, 50), st.integers(-3, 60))
def test_only_what_was_delivered_can_be_settled(delivered: int, tag: int) -> None:
    """A tag that the channel has not delivered, or none at all, is a violation and acknowledges nothing."""
    watermark = Watermark(patience=0)
    watermark.deliver(delivered)
    if 1 <= tag <= delivered:
        assert [acked for acked, _ in watermark.settle([tag])] == [tag]
    else:
        with pytest.raises(InvariantViolation, match=f"delivery tag {tag} is settled, but"):
            watermark.settle([tag])


@given(st.integers(1, 8), st.integers(0, 5), st.randoms(use_true_random=False))
def test_memory_is_bounded_by_what_is_held(held_back: int, patience: int, chance: Random) -> None:
    """However much is settled beyond deliveries that are held, what is kept does not grow with it."""
    watermark, held, size = Watermark(patience), [], 5
    for first in range(1, 400, size):
        batch = list(range(first, first + size))
        watermark.deliver(batch[-1])
        if len(held) < held_back:
            held.append(batch.pop(chance.randrange(size)))
        chance.shuffle(batch)
        watermark.settle(batch)
        assert watermark.remembered <= patience + held_back + 1
    watermark.settle(held)
    assert watermark.remembered == 0


def test_a_gap_that_stayed_open_for_a_million_deliveries_closes_at_once() -> None:
    """A million deliveries pass behind a held one; settling it takes no time that a loop would notice."""
    watermark, step, count = Watermark(patience=125), 500, 1_000_000
    watermark.deliver(count + 1)
    for first in range(2, count + 2, step):
        watermark.settle(range(first, first + step))
        assert watermark.remembered <= 126
    started = time.thread_time()
    assert watermark.settle([1]) == [(1, True)]
    assert time.thread_time() - started < 0.01
    assert watermark.low == count + 1
