"""What the worker believes of a payment that came back from the dead letters, and of one that pretends to."""

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas import dead_letter as names
from schemas.dead_letter import DeadLetterHeaders
from tests.support.dead_letters import dead_letter, delivery
from worker.amqp.lane import Outgoing, Properties
from worker.amqp.wire import Delivery
from worker.envelope import KEPT_ATTEMPTS, Arrival, Envelopes, read_arrival
from worker.errors import NoRoute
from worker.telemetry.tracing import PassingTracer
from worker.work import Work

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
RETURNS = "payments.return"


def envelopes() -> Envelopes:
    numbers = itertools.count(1)
    return Envelopes(lambda: f"id-{next(numbers)}", "payments.dead", "payments.incoming")


def arrived(outgoing: Outgoing, exchange: str | None = None) -> tuple[Delivery, Arrival]:
    """Deliver what was published."""
    assert isinstance(outgoing.properties, Properties)
    delivered = delivery(
        outgoing.body, outgoing.properties, exchange=exchange or outgoing.exchange, key=outgoing.routing_key
    )
    return delivered, read_arrival(delivered, delivered.properties, RETURNS)


def attempts(count: int) -> str:
    return json.dumps(
        [{"attempt": n, "at": "2026-11-24T11:00:00Z", "code": "unroutable"} for n in range(1, count + 1)]
    )


def test_redriven_payment_is_at_its_first_attempt_with_its_past() -> None:
    """The way it came is believed: history, origin, first sight, message id and the count of redrives."""
    letter = dead_letter(ATTEMPTS=attempts(3), ATTEMPT=3, MESSAGE_ID="m-1", EXPIRATION="500")
    _, arrival = arrived(envelopes().redriven(RETURNS, letter, NOON))
    assert (arrival.attempt, arrival.redrives, len(arrival.attempts)) == (1, 1, 3)
    assert (arrival.exchange, arrival.routing_key) == ("payments", "card.eur")
    assert (arrival.message_id, arrival.expiration, arrival.pinned) == ("m-1", "500", False)
    assert arrival.first_seen == "2026-11-24T12:00:00.000Z"


def test_dispatch_that_may_be_out_there_is_remembered_over_a_redrive() -> None:
    """A payment that only its first candidate may have is dead-lettered and redriven as such."""
    _, arrival = arrived(envelopes().redriven(RETURNS, dead_letter(PINNED=True), NOON))
    assert arrival.pinned


def test_count_of_redrives_goes_on_through_delays_and_death() -> None:
    """It is the payment's, until it is dispatched: a redrive is bounded over all its lives."""
    delivered, arrival = arrived(envelopes().redriven(RETURNS, dead_letter(REDRIVES=1), NOON))
    work = Work(delivered, delivered.properties, arrival, PassingTracer().receive({}, dict))
    delayed = envelopes().delayed(
        "payments.delay.1s", work, work.attempt("2026-11-24T12:00:00Z", "x"), "t", NOON
    )
    assert arrived(delayed, RETURNS)[1].redrives == 2
    dead = envelopes().dead_letter(work, NoRoute("none"), (), "t", NOON)
    assert isinstance(dead.properties, Properties)
    assert DeadLetterHeaders.model_validate(dead.properties.headers).redrives == 2


@pytest.mark.parametrize("value", [3, -1, "2", True, 10**6])
def test_producer_cannot_claim_redrives(value: Any) -> None:
    """Through the producers' exchange nothing of a past is believed, and a dead letter does not repeat it."""
    forged = Properties(headers={names.ATTEMPT: 1, names.REDRIVES: value, names.ATTEMPTS: attempts(2)})
    delivered = delivery(b"{}", forged, exchange="payments", key="card.eur")
    arrival = read_arrival(delivered, delivered.properties, RETURNS)
    assert (arrival.redrives, arrival.attempts) == (0, ())
    work = Work(delivered, delivered.properties, arrival, PassingTracer().receive({}, dict))
    dead = envelopes().dead_letter(work, NoRoute("none"), (), "t", NOON)
    assert isinstance(dead.properties, Properties)
    assert names.REDRIVES not in dead.properties.headers


def test_history_does_not_grow_without_bound() -> None:
    """Headers must fit a frame: the latest attempts go along, and the oldest are left in the audit."""
    letter = dead_letter(ATTEMPTS=attempts(KEPT_ATTEMPTS + 5))
    _, arrival = arrived(envelopes().redriven(RETURNS, letter, NOON))
    assert [attempt.attempt for attempt in arrival.attempts] == list(range(6, KEPT_ATTEMPTS + 6))
