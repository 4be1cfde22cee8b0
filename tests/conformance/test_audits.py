"""The audit of every journal, after everything that can happen to a payment, and after pruning."""

import pytest

from tests.support.carried import carried, planner
from tests.support.journals import JournalRig, dispatched, ended, intent, later
from worker.bookkeeping.amounts import worth
from worker.bookkeeping.audit import Place, Sum, audit
from worker.journal.books import Books
from worker.journal.postgresql.books import PostgresqlBooks
from worker.journal.postgresql.upkeep import PostgresqlUpkeep
from worker.journal.protocol import Amendment, Conflict, Ending
from worker.journal.sqlite.books import SqliteBooks
from worker.journal.sqlite.upkeep import SqliteUpkeep
from worker.journal.states import State
from worker.journal.upkeep import Upkeep

DAY = 86400.0
CARRIED = 20


def upkeep_of(books: Books) -> Upkeep:
    match books:
        case SqliteBooks():
            return SqliteUpkeep(books.path)
        case PostgresqlBooks():
            return PostgresqlUpkeep(books.url)
    return pytest.skip("nobody prunes it")


async def live(rig: JournalRig) -> None:
    """Refusals, repeats, a takeover, a return, delays, dead letters, strays, and remainders."""
    journal, other = rig.worker("a"), rig.worker("b")
    for number in range(CARRIED):
        one = carried(f"micro-{number}", f"0.{number + 10}", planner())
        await journal.claim([one], later(number))
        await journal.record([dispatched(one)], later(number + 1))
    refused, taken, returned, delayed, dead = names = [
        intent(name) for name in ("refused", "taken", "returned", "delayed", "dead")
    ]
    await journal.claim([*names, intent("in hand", None)], later(30))
    second = intent("refused", processor="beta", candidate=2)
    await journal.amend([Amendment(refused.dispatch_id or "", "unroutable", second)], later(31))
    await other.claim([taken._replace(redelivered=True)], later(32))
    await journal.record([dispatched(second), dispatched(returned)], later(33))
    await other.record([dispatched(taken)], later(33))
    back = intent("returned", processor="beta", returned=returned.dispatch_id)
    await journal.claim([back], later(34))
    stray = Ending(State.DEAD_LETTERED, None, None, "malformed_message", claimed=False)
    same_id = intent("returned", text="another payment")
    assert isinstance((await journal.claim([same_id], later(35)))[0], Conflict)
    conflict = stray._replace(
        payment_id="returned", code="idempotency_conflict", currency="KWD", scale=3, gross=1_005
    )
    endings = [ended(State.DELAYED, delayed), ended(State.DEAD_LETTERED, dead), stray, conflict]
    await journal.record([*endings, dispatched(back)], later(35))
    await other.claim([refused, taken], later(36))


async def test_everything_that_happens_fits(rig: JournalRig) -> None:
    """Each payment is where its history says, the remainders add up, and nothing is counted twice."""
    await live(rig)
    found = audit(rig.books())
    assert found.fits, found.misfits
    assert {place: found.count(place) for place in Place} == {
        Place.DISPATCHED: CARRIED + 3, Place.DELAYED: 1, Place.HELD: 0, Place.DEAD_LETTERED: 1,
        Place.IN_FLIGHT: 1, Place.DUPLICATES: 2, Place.UNCLAIMED: 1,
    }  # fmt: skip
    assert (found.payments, found.unread, found.carries["EUR"].payments) == (CARRIED + 6, 1, CARRIED)
    dinars = found.currencies["KWD"]
    assert dinars.received == dinars.places[Place.UNCLAIMED] == Sum(1, worth(1_005, 3))


async def test_what_is_left_after_pruning_fits(rig: JournalRig) -> None:
    """What the forgotten payments have left in the remainders is known, and nothing else is missed."""
    upkeep = upkeep_of(rig.books())
    await live(rig)
    young = carried("young", "0.50", planner())
    await rig.worker("a").claim([young], later(10 * DAY))
    await rig.worker("a").record([dispatched(young)], later(10 * DAY))
    assert sum(one.payments for one in upkeep.prune(later(5 * DAY), dead_letters=True)) == CARRIED + 4
    found = audit(rig.books())
    assert found.fits, found.misfits
    assert (found.payments, found.carries["EUR"].payments) == (3, 1)
