"""The book of outstanding publishes: each case once, by hand."""

import pytest

from worker.amqp.confirms import NACKED, Batch, Confirms
from worker.amqp.lane import CONFIRMED, Refused, Unknown
from worker.errors import WireError


class Called:
    """Counts calls."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def published(count: int) -> tuple[Confirms, Batch, Called]:
    """One batch of ``count`` with the ids m1, m2 and so on."""
    confirms, called = Confirms(), Called()
    batch = confirms.publish([f"m{number}" for number in range(1, count + 1)], called)
    return confirms, batch, called


def test_a_batch_is_answered_with_its_last_answer() -> None:
    """Its owner hears once, when nothing is missing."""
    confirms, batch, called = published(3)
    for number in (2, 3):
        confirms.confirm(number, multiple=False, stored=True)
    assert called.times == 0
    confirms.confirm(1, multiple=False, stored=True)
    assert called.times == 1
    assert batch.outcomes == [CONFIRMED] * 3


def test_multiple_answers_across_batches() -> None:
    """One ack may answer several batches and the beginning of the next."""
    confirms, first, first_called = published(2)
    second_called = Called()
    second = confirms.publish(["n1", "n2", "n3"], second_called)
    confirms.confirm(4, multiple=True, stored=True)
    assert (first_called.times, second_called.times) == (1, 0)
    confirms.confirm(5, multiple=False, stored=False)
    assert first.outcomes == [CONFIRMED] * 2
    assert second.outcomes == [CONFIRMED, CONFIRMED, NACKED]


def test_a_return_is_a_refusal_whatever_the_confirm_says() -> None:
    """RabbitMQ acks what it has returned; the return counts, with the broker's words."""
    confirms, batch, _ = published(2)
    confirms.returned("m1", "NO_ROUTE")
    confirms.confirm(2, multiple=True, stored=True)
    assert batch.outcomes == [Refused("unroutable", "returned by the broker: NO_ROUTE"), CONFIRMED]


def test_a_nack_does_not_hide_the_words_of_a_return() -> None:
    """Why a publish could not be routed says more than that it was not stored."""
    confirms, batch, _ = published(1)
    confirms.returned("m1", "NO_ROUTE")
    confirms.confirm(1, multiple=False, stored=False)
    assert batch.outcomes == [Refused("unroutable", "returned by the broker: NO_ROUTE")]


def test_a_nack_of_many_spares_what_was_stored() -> None:
    """A multiple nack refuses only what has no answer yet."""
    confirms, batch, _ = published(3)
    confirms.confirm(2, multiple=False, stored=True)
    confirms.confirm(3, multiple=True, stored=False)
    assert batch.outcomes == [NACKED, CONFIRMED, NACKED]


def test_a_cut_makes_the_rest_unknown() -> None:
    """What was answered before the end stays; the rest is unknown, also what was only returned."""
    confirms, batch, called = published(4)
    confirms.confirm(1, multiple=False, stored=True)
    confirms.confirm(2, multiple=False, stored=False)
    confirms.returned("m3", "NO_ROUTE")
    confirms.fail("cut")
    assert called.times == 1
    assert batch.outcomes == [CONFIRMED, NACKED, Unknown("cut"), Unknown("cut")]


def test_a_confirm_after_the_cut_changes_nothing() -> None:
    """The owner has been told that it is unknown; a late ack does not turn that into success."""
    confirms, batch, called = published(1)
    confirms.fail("cut")
    confirms.confirm(1, multiple=False, stored=True)
    assert called.times == 1
    assert batch.outcomes == [Unknown("cut")]


@pytest.mark.parametrize("number", [0, 3, 2**63])
def test_a_confirm_of_what_was_never_sent_is_an_error(number: int) -> None:
    """The books do not agree, so nothing that follows can be believed."""
    confirms, _, _ = published(2)
    with pytest.raises(WireError, match=f"publish {number}, but only 2 were sent"):
        confirms.confirm(number, multiple=True, stored=True)


@pytest.mark.parametrize("message_id", ["other", None])
def test_a_return_of_what_was_never_sent_is_an_error(message_id: str | None) -> None:
    """A return that fits no publish in flight is not guessed at."""
    confirms, _, _ = published(1)
    with pytest.raises(WireError, match="not in flight"):
        confirms.returned(message_id, "NO_ROUTE")


def test_a_return_after_its_confirm_is_an_error() -> None:
    """RabbitMQ returns before it confirms; the other way round the success was already told."""
    confirms, batch, _ = published(2)
    confirms.confirm(1, multiple=False, stored=True)
    with pytest.raises(WireError, match="'m1', which is not in flight"):
        confirms.returned("m1", "NO_ROUTE")
    assert batch.outcomes[0] is CONFIRMED


def test_a_publish_without_message_id_is_matched_too() -> None:
    """An absent id and an empty one are the same id: the broker gives back neither."""
    confirms = Confirms()
    batch = confirms.publish([""], lambda: None)
    confirms.returned(None, "NO_ROUTE")
    confirms.confirm(1, multiple=False, stored=True)
    assert isinstance(batch.outcomes[0], Refused)
