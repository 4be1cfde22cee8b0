"""The end of a fault test: the journal's own books balance, and say what the processors' say."""

from collections.abc import Mapping
from contextlib import closing

from worker.bookkeeping.audit import Place, audit
from worker.journal.address import Address, InMemory, NoJournal
from worker.journal.opening import open_books
from worker.journal.states import State

_SHOWN = 10


def check_journal(address: Address, dispatched: Mapping[str, str]) -> None:
    """Audit a journal when all has arrived; ``dispatched`` is where each payment was found, by payment id.

    Without a journal there is nothing to audit.
    """
    if isinstance(address, NoJournal | InMemory):
        return
    with closing(open_books(address, "the journal")) as books:
        found = audit(books)
        known = {
            page.standing.payment_id: page.standing.processor
            for page in books.pages()
            if page.standing.state is State.DISPATCHED
        }
    assert found.fits, "\n".join(f"{one.name}: {one.problem}" for one in found.misfits[:_SHOWN])
    left = {place: found.count(place) for place in (Place.DELAYED, Place.IN_FLIGHT) if found.count(place)}
    assert not left, f"the journal still has payments that are {left}"
    differing = {
        payment_id: (known.get(payment_id), dispatched.get(payment_id))
        for payment_id in known.keys() | dispatched.keys()
        if known.get(payment_id) != dispatched.get(payment_id)
    }
    assert not differing, f"in the journal, and at a processor: {list(differing.items())[:_SHOWN]}"
