"""Reading a dead letter: what the worker wrote, and what anybody else put into the queue."""

from datetime import UTC, datetime

import pytest

from tests.support.dead_letters import dead_letter, delivery
from worker.amqp.lane import Properties
from worker.dead_letters import read_letter
from worker.dead_letters.letter import NO_CODE


def test_everything_the_worker_wrote_is_read() -> None:
    """Code, payment, time, history and amount are those of headers and body."""
    attempts = (
        '[{"attempt":1,"at":"2026-11-24T11:00:00Z","code":"unroutable","processor":"alpha"},'
        '{"attempt":2,"at":"2026-11-24T11:01:00Z","code":"publish_refused","processor":"beta"}]'
    )
    letter = dead_letter(code="retries_exhausted", ATTEMPTS=attempts, REDRIVES=2, PINNED=True)
    assert (letter.payment_id, letter.code, letter.message) == ("pay-1", "retries_exhausted", "why")
    assert letter.dead_at == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert letter.processors == {"alpha", "beta"}
    assert (letter.arrival.redrives, letter.arrival.pinned) == (2, True)
    assert letter.amount == ("EUR", 10 * 10**12)
    assert (letter.name, letter.letter_id) == ("pay-1", "letter-1")


def test_letter_without_a_payment_id_is_called_by_its_own() -> None:
    """A body that could not be read has only the id of its publish."""
    assert dead_letter(b"{bad", payment_id=None).name == "letter-1"


@pytest.mark.parametrize(
    "headers", [{}, {"payment-error-code": 7, "payment-id": b"\xff", "payment-dead-at": 3}]
)
def test_foreign_message_is_read_as_far_as_it_can_be(headers: dict[str, object]) -> None:
    """Headers of other types count as absent; nothing raises."""
    letter = read_letter(delivery(b"\x00", Properties(headers=headers)))
    assert (letter.code, letter.payment_id, letter.dead_at, letter.amount) == (NO_CODE, None, None, None)
    assert (letter.name, letter.attempts, letter.problem) == ("(no id)", (), None)


def test_unreadable_properties_are_a_problem_of_the_letter() -> None:
    """What cannot be decoded is said, and the body is there all the same."""
    broken = delivery(b"body", Properties())
    broken.raw_properties = b"\xff\xff"
    letter = read_letter(broken)
    assert "cut off" in str(letter.problem)
    assert letter.properties == Properties()


@pytest.mark.parametrize(
    ("body", "amount"),
    [
        (b'{"amount":{"value":"-4.99","currency":"USD"}}', ("USD", -4_990_000_000_000)),
        (b'{"amount":{"value":"0.000000000001","currency":"EUX"},"more":[1]}', ("EUX", 1)),
        (b'{"amount":{"value":12.5,"currency":"EUR"}}', None),
        (b'{"amount":{"value":"NaN","currency":"EUR"}}', None),
        (b'{"amount":{"value":"1","currency":"\\u001b[31m"}}', None),
        (b'{"amount":{"value":"1","currency":null}}', None),
        (b'{"amount":"1 EUR"}', None),
        (b"[]", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_amount_is_read_where_it_is_one(body: bytes, amount: tuple[str, int] | None) -> None:
    """An amount counts when it is exact text with a code, however bad the rest is."""
    assert dead_letter(body).amount == amount
