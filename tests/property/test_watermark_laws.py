"""Laws of the ack watermark: what is settled is acknowledged, what is not never is."""

from hypothesis import given
from hypothesis import strategies as st

from worker.amqp.watermark import Watermark

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
    watermark, unacked, settled = Watermark(patience), set(order), set[int]()
    rest = list(order)
    while rest:
        size = data.draw(st.sampled_from(sizes))
        batch, rest = rest[:size], rest[size:]
        settled |= set(batch)
        acknowledge(watermark.settle(batch), unacked)
        acked = set(order) - unacked
        assert acked <= settled
        assert len(settled - acked) <= patience
    assert not unacked


@given(orders, st.integers(0, 40))
def test_flushing_acknowledges_what_waits(order: list[int], cut: int) -> None:
    """Before a lane closes, everything settled is acknowledged, and nothing else."""
    watermark, unacked = Watermark(patience=1000), set(order)
    settled = order[:cut]
    acknowledge(watermark.settle(settled), unacked)
    acknowledge(watermark.flush(), unacked)
    assert unacked == set(order) - set(settled)
    assert watermark.flush() == []
