"""What the read side of every journal answers, whatever it is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

from tests.support.journals import JournalRig, Thirds, dispatched, ended, intent, later
from worker.journal.books import Books, Dimension, Kept, Total
from worker.journal.changes import Carried
from worker.journal.entries import Entry, Happening
from worker.journal.protocol import Amendment, Ending
from worker.journal.states import State
from worker.journal.times import HOUR, milliseconds
from worker.money import Carry


@contextmanager
def opened(rig: JournalRig) -> Iterator[Books]:
    """Books that are closed at the end, twice."""
    books = rig.books()
    try:
        yield books
    finally:
        books.close()
        books.close()


async def test_neighbours(rig: JournalRig) -> None:
    """Those before and after a name, known or not, and fewer where there are no more."""
    await rig.worker("a").claim([intent(f"pay-{letter}") for letter in "acegik"], later(0))
    with opened(rig) as books:
        assert books.neighbours("pay-f", 2) == ["pay-c", "pay-e", "pay-g", "pay-i"]
        assert books.neighbours("pay-c", 1) == ["pay-a", "pay-e"]
        assert books.neighbours("pay", 3) == ["pay-a", "pay-c", "pay-e"]
        assert books.neighbours("z", 1) == ["pay-k"]


async def test_one_moment(rig: JournalRig) -> None:
    """Within the block the books stand still; after it, what was written meanwhile is in them."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    with opened(rig) as books:
        with books.at_one_moment():
            assert books.states(["pay-1"]) == {"pay-1": State.CLAIMED}
            await journal.record([dispatched(first)], later(1))
            assert books.states(["pay-1"]) == {"pay-1": State.CLAIMED}
            assert books.history("pay-1") == []
        assert books.states(["pay-1"]) == {"pay-1": State.DISPATCHED}


async def test_pages(rig: JournalRig) -> None:
    """Each payment once, with all that the books have of it, in the order of their first claims."""
    journal, first = rig.worker("a"), intent("z")
    await journal.claim([first, intent("a", carrying=Thirds())], later(0))
    second = intent("z", processor="beta", candidate=2)
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], later(1))
    await journal.record([dispatched(second)], later(2))
    with opened(rig) as books:
        pages = list(books.pages(bodies=True))
        assert [page.standing for page in pages] == [books.find("z"), books.find("a")]
        assert [list(page.entries) for page in pages] == [books.history("z"), []]
        assert [entry.body for entry in pages[0].entries] == [first.body, second.body]
        assert (pages[0].charged, pages[0].keys, pages[0].carried) == (None, (), [])
        key = Thirds().keys[0]
        assert (pages[1].charged, pages[1].keys) == (Thirds().charge([Carry()])[0], (key,))
        assert pages[1].carried == [Carried("a", key, Carry(), Carry(1, 3))]
        assert books.remainders() == {key: Kept(Carry(1, 3), Fraction())}
        without = next(books.pages())
        assert (without.standing.body, without.entries[0].body) == (None, None)


async def test_many_pages(rig: JournalRig) -> None:
    """More than a slice of them, and what is written meanwhile is not among them."""
    journal = rig.worker("a")
    batch = [intent(f"pay-{number}") for number in range(1200)]
    await journal.claim(batch, later(0))
    await journal.record([dispatched(one) for one in batch], later(1))
    with opened(rig) as books, books.at_one_moment():
        pages = books.pages()
        first = next(pages)
        assert books.size() == len(batch)
        await journal.claim([intent("late")], later(2))
        found = [first, *pages]
    assert [page.standing.payment_id for page in found] == [one.payment_id for one in batch]
    assert {len(page.entries) for page in found} == {1}


async def test_strays(rig: JournalRig) -> None:
    """What came of deliveries without a claim, oldest first, and no entry of a payment's own."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first], later(0))
    nameless = Ending(State.DEAD_LETTERED, None, None, "malformed_message", claimed=False)
    named = Ending(State.DEAD_LETTERED, "pay-1", None, "idempotency_conflict", claimed=False)
    largest = named._replace(currency="JPY", scale=12, gross=2**63 - 1)
    await journal.record([nameless, dispatched(first), named, largest], later(1))
    await rig.worker("b").record([largest], later(2))
    with opened(rig) as books:
        strays = list(books.strays())
        assert [(entry.payment_id, entry.code) for entry in strays] == [
            (None, "malformed_message"), *[("pay-1", "idempotency_conflict")] * 3,
        ]  # fmt: skip
        nothing, known = (None,) * 8, ("JPY", 12, 2**63 - 1, 2**63 - 1, 0, None, "", 1)
        described = slice(Entry._fields.index("currency"), Entry._fields.index("candidate") + 1)
        assert [entry[described] for entry in strays] == [nothing, nothing, known, known]
        assert books.last_number() == 5


async def test_empty_books(rig: JournalRig) -> None:
    """Nothing is in them."""
    with opened(rig) as books:
        assert (list(books.pages()), list(books.strays()), books.remainders()) == ([], [], {})
        assert (books.size(), books.last_number()) == (0, 0)


async def test_standings(rig: JournalRig) -> None:
    """Of many payments at once, without their bodies."""
    await rig.worker("a").claim([intent("one"), intent("two's \u20ac\"", None)], later(0))
    with opened(rig) as books:
        found = books.standings(["one", "two's \u20ac\"", "never", "one"])
        assert found.keys() == {"one", "two's \u20ac\""}
        one = books.find("one")
        assert one is not None
        assert found["one"] == one._replace(body=None)
        assert books.standings([]) == {}


async def test_what_is_dispatched_to_a_processor(rig: JournalRig) -> None:
    """By the time of its confirm: the first moment is in, the last is not. Nothing else is."""
    journal = rig.worker("a")
    sent = [intent(f"pay-{number}") for number in range(4)]
    other, dead = intent("other", processor="beta"), intent("dead")
    await journal.claim([*sent, other, dead, intent("claimed")], later(0))
    for number, one in enumerate(sent):
        await journal.record([dispatched(one)], later(number))
    await journal.record([dispatched(other), ended(State.DEAD_LETTERED, dead)], later(1))
    with opened(rig) as books:

        def ids(*times: int | None) -> list[str]:
            return [one.payment_id for one in books.dispatched_to("alpha", *times)]

        assert ids() == ["pay-0", "pay-1", "pay-2", "pay-3"]
        assert ids(milliseconds(later(1)), milliseconds(later(3))) == ["pay-1", "pay-2"]
        assert ids(milliseconds(later(4))) == []
        assert list(books.dispatched_to("gamma")) == []


async def test_processors(rig: JournalRig) -> None:
    """Those of refused and of present candidates."""
    journal, first = rig.worker("a"), intent()
    await journal.claim([first, intent("nowhere", None)], later(0))
    second = intent(processor="beta", candidate=2)
    await journal.amend([Amendment(first.dispatch_id or "", "unroutable", second)], later(1))
    with opened(rig) as books:
        assert set(books.processors()) == {"alpha", "beta"}


async def test_totals(rig: JournalRig) -> None:
    """By any dimensions, in any order; sums are exact beyond 64 bits; what was unreadable has none."""
    journal = rig.worker("a")
    large = 2**63 - 1
    first = [
        intent(f"pay-{number}", scale=12, gross=large, net=large - 1, fees=1, rule=f"rule-{number % 2}")
        for number in range(3)
    ]
    dead = intent("dead", currency="USD")
    await journal.claim([*first, dead], later(0))
    await journal.record([dispatched(one) for one in first], later(0))
    stray = Ending(State.DEAD_LETTERED, None, None, "malformed_message", claimed=False)
    conflict = stray._replace(
        payment_id="dead", code="idempotency_conflict", currency="USD", scale=3, gross=7_500
    )
    await journal.record([ended(State.DEAD_LETTERED, dead, "no_route"), stray, conflict], later(3600))
    hour = milliseconds(later(0)) // HOUR
    by_processor = (Dimension.CURRENCY, Dimension.PROCESSOR)
    sent, dead_lettered = Happening.DISPATCHED, Happening.DEAD_LETTERED
    with opened(rig) as books:

        def totals(*by: Dimension, since: int | None = None, until: int | None = None) -> set[Total]:
            return set(books.totals(by, since, until))

        both = Total(("EUR", "alpha"), sent, 12, 3, 3 * large, 3 * large - 3, 3)
        lost = Total((None, None), dead_lettered, None, 1, 0, 0, 0)
        other = Total(("USD", None), dead_lettered, 3, 1, 7500, 7500, 0)
        assert totals(*by_processor) == {
            both, Total(("USD", "alpha"), dead_lettered, 2, 1, 1234, 1200, 34), lost, other,
        }  # fmt: skip
        boundary = milliseconds(later(3600))
        assert totals(*by_processor, until=boundary) == {both}
        assert totals(Dimension.CODE, since=boundary) == {
            Total(("no_route",), dead_lettered, 2, 1, 1234, 1200, 34),
            Total(("malformed_message",), dead_lettered, None, 1, 0, 0, 0),
            Total(("idempotency_conflict",), dead_lettered, 3, 1, 7500, 7500, 0),
        }
        assert totals(Dimension.HOUR, Dimension.RULE, until=boundary) == {
            Total((hour, "rule-0"), sent, 12, 2, 2 * large, 2 * large - 2, 2),
            Total((hour, "rule-1"), sent, 12, 1, large, large - 1, 1),
        }
        assert totals() == {
            both._replace(values=()),
            Total((), dead_lettered, 2, 1, 1234, 1200, 34),
            lost._replace(values=()),
            other._replace(values=()),
        }
        assert totals(since=boundary + 1) == set()
