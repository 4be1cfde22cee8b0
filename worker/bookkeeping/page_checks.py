"""What must hold within one payment's page, whatever happened to it. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from worker.bookkeeping.amounts import worth
from worker.bookkeeping.chain import last_entry, leads_to, wrong_steps
from worker.errors import WorkerError
from worker.journal.books import Page, Standing
from worker.journal.entries import Entry, Happening
from worker.journal.states import State
from worker.money import format_units, parse_units
from worker.planning import make_dispatch_id


def problems_of(page: Page) -> Iterator[str]:
    """Yield what is wrong with a payment, in words for people; bodies are checked where the page has them."""
    yield from _history(page)
    yield from _amounts(page)
    yield from _dispatches(page)
    yield from _bodies(page)


def _history(page: Page) -> Iterator[str]:
    yield from wrong_steps(page.entries)
    standing, last = page.standing, last_entry(page.entries)
    if not leads_to(last, standing.state):
        end = "is empty" if last is None else f"ends with {last.happening}"
        yield f"is {standing.state}, but its history {end}"
    repeats = sum(entry.happening is Happening.DUPLICATE for entry in page.entries)
    if repeats != standing.duplicates:
        yield f"counts {standing.duplicates} duplicates, but its history has {repeats}"


def _amounts(page: Page) -> Iterator[str]:
    standing = page.standing
    rows: list[tuple[str, Standing | Entry]] = [("it", standing)]
    rows += [(f"entry {entry.number}", entry) for entry in page.entries]
    for name, row in rows:
        units, net, fees, scale = row.gross, row.net, row.fees, row.scale
        if units is None or net is None or fees is None or scale is None:
            yield f"{name} has no amounts"
        elif units != net + fees:
            texts = [format_units(one, scale) for one in (units, net, fees)]
            yield f"{name} has gross {texts[0]}, but net {texts[1]} and fees {texts[2]}"
        elif row.currency != standing.currency:
            yield f"{name} is in {row.currency}, but it is in {standing.currency}"
    last = last_entry(page.entries)
    if last is not None and standing.state is not State.CLAIMED and _sent(last) != _sent(standing):
        yield f"was {last.happening} as {_in_words(last)}, but stands as {_in_words(standing)}"


def _dispatches(page: Page) -> Iterator[str]:
    standing = page.standing
    rows: list[Standing | Entry] = [standing, *page.entries]
    for row in rows:
        processor, dispatch_id = row.processor, row.dispatch_id
        if (None if processor is None else make_dispatch_id(standing.payment_id, processor)) != dispatch_id:
            yield f"dispatch {dispatch_id} is not the one that it has at {processor}"


def _sent(row: Standing | Entry) -> tuple[object, ...]:
    """Return what was dispatched, or was not."""
    return row.dispatch_id, row.gross, row.fees, row.net, row.scale, row.currency


def _in_words(row: Standing | Entry) -> str:
    gross, fees, net = (format_units(one or 0, row.scale or 0) for one in (row.gross, row.fees, row.net))
    return f"dispatch {row.dispatch_id} of {gross} = {fees} + {net} {row.currency}"


def _bodies(page: Page) -> Iterator[str]:
    """One dispatch id is one body, wherever it may have been sent; and the body says what the row says."""
    standing = page.standing
    rows: list[Standing | Entry] = [
        entry for entry in page.entries if entry.happening in (Happening.DISPATCHED, Happening.ABANDONED)
    ]
    if standing.state is State.DISPATCHED or standing.pinned:
        rows.append(standing)
    bodies: dict[str | None, tuple[bytes, Standing | Entry]] = {}
    for row in rows:
        if row.body is None:
            continue
        known = bodies.setdefault(row.dispatch_id, (row.body, row))
        if known[0] != row.body:
            yield f"dispatch {row.dispatch_id} has two bodies"
        elif known[1] is row or _sent(known[1]) != _sent(row):
            yield from _wrong_body(standing.payment_id, row, row.body)


def _wrong_body(payment_id: str, row: Standing | Entry, body: bytes) -> Iterator[str]:
    try:
        document = orjson.loads(body)
        names = (document["payment_id"], document["dispatch_id"], document["processor"])
        gross, net = (_units(document[name]) for name in ("gross", "net"))
        fees = [_units(fee["amount"]) for fee in document["fees"]]
    except (ValueError, TypeError, KeyError, WorkerError):
        yield f"the body of dispatch {row.dispatch_id} is no dispatch"
        return
    if names != (payment_id, row.dispatch_id, row.processor):
        yield f"the body of dispatch {row.dispatch_id} names {', '.join(map(str, names))}"
    expected = [(row.currency, worth(units or 0, row.scale or 0)) for units in (row.gross, row.net, row.fees)]
    total = (row.currency, sum(units for _, units in fees))
    if [gross, net, total] != expected or {currency for currency, _ in fees} - {row.currency}:
        yield f"the body of dispatch {row.dispatch_id} has other amounts than its row"


def _units(amount: Any) -> tuple[str, int]:
    return amount["currency"], worth(*parse_units(amount["value"]))
