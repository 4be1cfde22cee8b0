"""Payments gathered into messages: none is lost, none changed, and each line keeps its order."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.payments import body
from worker.amqp.lane import Properties
from worker.amqp.publisher import Message
from worker.amqp.topology import ORDER_KEY
from worker.batches import MAX_BATCH_BYTES, MIXED, NDJSON, as_messages

merchants = st.sampled_from(["ann", "bob", "cid"])
bodies = st.lists(
    st.builds(lambda merchant, note: body(merchant_id=merchant, note=note), merchants, st.text(max_size=5))
    | st.sampled_from([b"", b" ", b"{bad", b"[1]", b"{\n}", b'"\r"', body()]),
    max_size=30,
)


def properties(message: Message) -> Properties:
    assert isinstance(message.properties, Properties)
    return message.properties


def carried(message: Message) -> list[bytes]:
    """What a reader of NDJSON finds."""
    if properties(message).content_type == NDJSON:
        assert message.body.endswith(b"\n")
        return message.body.removesuffix(b"\n").split(b"\n")
    return [message.body]


@given(bodies, st.integers(1, 7), st.sampled_from([None, "merchant_id"]))
def test_every_payment_travels_once_as_it_was(
    payments: list[bytes], batch: int, ordered_by: str | None
) -> None:
    """Numbers and bodies belong together, and no batch has more than it may."""
    messages = list(as_messages(enumerate(payments, 1), batch, ordered_by))
    found = [pair for one in messages for pair in zip(one.numbers, carried(one), strict=True)]
    assert sorted(found) == list(enumerate(payments, 1))
    assert all(len(message.numbers) <= batch for message in messages)


@given(bodies, st.integers(1, 7))
def test_each_line_keeps_its_order(payments: list[bytes], batch: int) -> None:
    """Payments of one merchant are in one order, and no message has those of two."""
    by_line: dict[str | None, list[int]] = {}
    for message in as_messages(enumerate(payments, 1), batch, "merchant_id"):
        by_line.setdefault(message.line, []).extend(message.numbers)
        assert properties(message).headers[ORDER_KEY] == message.line
    assert all(numbers == sorted(numbers) for numbers in by_line.values())
    for line, numbers in by_line.items():
        assert all(_merchant(payments[number - 1]) == line for number in numbers)


def _merchant(payment: bytes) -> str:
    try:
        return str(orjson.loads(payment)["merchant_id"])
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return ""


def test_a_batch_of_several_kinds_says_so() -> None:
    """A batch of one kind keeps its routing key, another has that of mixed ones."""
    same, other = [body(), body()], [body(), body(currency="USD")]
    assert [one.routing_key for one in as_messages(enumerate(same, 1), 5)] == ["card.eur"]
    assert [one.routing_key for one in as_messages(enumerate(other, 1), 5)] == [MIXED]


@pytest.mark.parametrize("size", [MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES, MAX_BATCH_BYTES * 2])
def test_no_batch_is_too_large(size: int) -> None:
    """Payments that are large together go apart, in their order."""
    payments = [body(), body(note="x" * size), body(note="y" * size), body()]
    messages = list(as_messages(enumerate(payments, 1), 50))
    assert [number for message in messages for number in message.numbers] == [1, 2, 3, 4]
    assert all(len(one.numbers) == 1 or len(one.body) <= MAX_BATCH_BYTES + 1 for one in messages)


def test_open_batches_are_bounded() -> None:
    """Many merchants do not make the producer gather for ever."""
    payments = (body(merchant_id=f"m-{number}") for number in range(20_001))
    messages = as_messages(enumerate(payments, 1), 50, "merchant_id")
    assert next(messages).numbers == (1,)
    assert len(list(messages)) == 20_000
