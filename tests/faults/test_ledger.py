"""The ledger notices every way in which the promises can be broken."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pamqp import commands

from tests.support.ledger import Ledger
from tests.support.load import Sent
from tests.support.stage import Received

GOOD = Sent("pay-1", b'{"payment_id": "pay-1"}', "card.eur", ("alpha", "beta"), published=1, confirmed=True)
BAD = Sent("pay-2", b"{bad", "card.eur", code="malformed_message", published=1, confirmed=True)


def dispatch(
    payment_id: str = "pay-1", dispatch_id: str = "d1", header: str = "d1", more: str = ""
) -> Received:
    """A dispatch of that payment."""
    decided = json.dumps({"dispatch_id": dispatch_id, "fees": more})[:-1]
    body = f'{decided}, "payment_id": "{payment_id}"}}'.encode()
    return Received(body, "card.eur", commands.Basic.Properties(headers={"dispatch-id": header}))


def dead_letter(body: bytes, code: str) -> Received:
    """A dead letter with everything it must have."""
    headers: dict[str, Any] = {
        "payment-error-code": code,
        "payment-error-message": "why",
        "payment-attempt": 1,
        "payment-attempts": "[]",
        "payment-first-seen": "2026-11-24T12:00:00.000Z",
        "payment-dead-at": "2026-11-24T12:00:00.000Z",
        "payment-exchange": "payments",
        "payment-routing-key": "card.eur",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return Received(body, code, commands.Basic.Properties(headers=headers))


def ledger(*dispatches: tuple[str, Received], dead: tuple[Received, ...] = ()) -> Ledger:
    """A ledger with these entries."""
    made = Ledger("payments")
    for processor, message in dispatches:
        made.dispatched[json.loads(message.body)["payment_id"]].append((processor, message))
    for message in dead:
        made.dead[message.body].append(message)
    return made


def test_books_that_balance_are_accepted() -> None:
    """A dispatch, its repeat and a dead letter are as they should be."""
    letter = dead_letter(BAD.body, "malformed_message")
    ledger(("alpha", dispatch()), ("alpha", dispatch()), dead=(letter,)).check([GOOD, BAD])


@pytest.mark.parametrize(
    ("books", "problem"),
    [
        (ledger(), "pay-1: is neither dispatched nor dead-lettered"),
        (ledger(("alpha", dispatch()), ("beta", dispatch())), "is dispatched to alpha and to beta"),
        (ledger(("gamma", dispatch())), "may go to"),
        (ledger(("alpha", dispatch()), ("alpha", dispatch(more="x"))), "repeated differently"),
        (ledger(("alpha", dispatch()), ("alpha", dispatch(header="d2"))), "repeated differently"),
        (ledger(("alpha", dispatch(header="d2"))), "other dispatch ids in its headers"),
        (ledger(("alpha", dispatch()), ("alpha", dispatch("pay-9"))), "pay-9 was dispatched and never"),
        (
            ledger(("alpha", dispatch()), dead=(dead_letter(b"?", "held"),)),
            "dead-lettered and never published",
        ),
        (
            ledger(("alpha", dispatch()), dead=(dead_letter(GOOD.body, "held"),)),
            "is dispatched and dead-lettered",
        ),
        (
            ledger(dead=(dead_letter(GOOD.body, "held"),)),
            "is dead-lettered for {'held'}, expected a dispatch",
        ),
    ],
)
def test_a_broken_promise_is_told(books: Ledger, problem: str) -> None:
    """Whatever is wrong with a good payment is named."""
    with pytest.raises(AssertionError, match=problem.replace("{", r"\{")):
        books.check([GOOD])


def test_a_body_that_is_not_the_payments_is_told() -> None:
    """A dispatch ends with the payment's own members, byte for byte."""
    altered = Received(dispatch().body.replace(b'": "pay', b'":  "pay'), "card.eur", dispatch().properties)
    with pytest.raises(AssertionError, match="is not what alpha received"):
        ledger(("alpha", altered)).check([GOOD])


def test_a_bad_payment_has_one_way_to_end() -> None:
    """It is dead-lettered with its own code, and dispatched to nobody."""
    with pytest.raises(AssertionError, match=r"expected \{'malformed_message'\}"):
        ledger(dead=(dead_letter(BAD.body, "no_route"),)).check([BAD])
    with pytest.raises(AssertionError, match="though it is bad"):
        ledger(("alpha", dispatch("pay-2"))).check([BAD])


def test_repeats_can_be_forbidden() -> None:
    """Where a fault repeats nothing, a second dispatch is one too many, however often it was published."""
    books = ledger(("alpha", dispatch()), ("alpha", dispatch()))
    with pytest.raises(AssertionError, match="came 2 times"):
        books.check([GOOD], repeats=False)
    letters = ledger(dead=(dead_letter(BAD.body, "malformed_message"),) * 2)
    letters.check([replace(BAD, published=2)], repeats=False)
    with pytest.raises(AssertionError, match="came 2 times"):
        letters.check([BAD], repeats=False)


def test_a_payment_whose_confirm_was_lost_may_be_missing() -> None:
    """Only what the broker has confirmed to its producer must be found."""
    ledger().check([Sent("pay-3", b"{}", "card.eur", ("alpha",), published=1)])
