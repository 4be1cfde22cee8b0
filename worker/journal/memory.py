"""A journal in this process's memory: for tests, and for looking at what a journal does."""

import operator
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from worker.journal.books import Dimension, Kept, Page, Standing, Total
from worker.journal.changes import Carried, Changes, sort_endings
from worker.journal.decide import Known
from worker.journal.entries import Entry, Happening
from worker.journal.outbox import PUBLISHED, Due, event_of
from worker.journal.protocol import Amendment, Claim, Done, Ending, Intent
from worker.journal.states import State
from worker.journal.times import HOUR, milliseconds
from worker.money import Carry


@dataclass(slots=True)
class Payment:
    """A payment's row: the intent in force, what is known, and since when."""

    intent: Intent
    known: Known
    created: int
    claimed: int
    changed: int
    code: str | None = None
    duplicates: int = 0


@dataclass(slots=True)
class Memory:
    """What several journals share, as workers share a file."""

    payments: dict[str, Payment] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    carries: dict[str, Carry] = field(default_factory=dict)
    carried: list[Carried] = field(default_factory=list)
    outbox: tuple[int, str, int] = (0, "", 0)
    """Its position, the publisher that has it, and until when."""
    fingerprint_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def enter(self, *values: Any) -> None:
        """Append an entry with the next number."""
        self.entries.append(Entry(len(self.entries) + 1, *values))

    def was_intent(self, payment_id: str, dispatch_id: str) -> bool:
        """Return whether a payment once had the intent of this dispatch."""
        return any(
            (entry.payment_id, entry.dispatch_id) == (payment_id, dispatch_id) for entry in self.entries
        )


@dataclass(slots=True)
class MemoryJournal:
    """One worker's way to a memory; ``owner`` is that worker's own name."""

    owner: str
    lease_seconds: float = 60.0
    memory: Memory = field(default_factory=Memory)

    @property
    def fingerprint_key(self) -> bytes:
        """See ``Journal``."""
        return self.memory.fingerprint_key

    async def claim(self, intents: Sequence[Intent], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        changes = self._changes(intents, now)
        changes.claim(intents)
        return self._apply(changes)

    async def amend(self, amendments: Sequence[Amendment], now: datetime) -> Sequence[Claim]:
        """See ``Journal``."""
        changes = self._changes([amendment.intent for amendment in amendments], now)
        changes.amend(amendments)
        return self._apply(changes)

    async def record(self, endings: Sequence[Ending], now: datetime) -> None:
        """See ``Journal``."""
        at = milliseconds(now)
        known = self._known([ending.payment_id for ending in endings if ending.payment_id is not None])
        ended, strays = sort_endings(endings, known, self.owner, self.memory.was_intent)
        for ending in ended:
            payment = self.memory.payments[ending.payment_id or ""]
            self._close(payment, [Happening(ending.state.value)], at, ending.code)
            payment.known = payment.known._replace(state=ending.state)
            payment.code, payment.changed = ending.code, at
        for ending in strays:
            self.memory.enter(
                Happening(ending.state.value), ending.payment_id, False, ending.attempt, ending.code,
                ending.trace_id, self.owner, at, at, *_of_stray(ending),
            )  # fmt: skip

    async def find(self, payment_ids: Sequence[str], now: datetime) -> Sequence[Done | None]:  # noqa: ARG002
        """See ``Journal``."""
        known = self._known(payment_ids)
        return [known[one].done() if one in known else None for one in payment_ids]

    async def close(self) -> None:
        """See ``Journal``."""

    def _known(self, payment_ids: Iterable[str]) -> dict[str, Known]:
        payments = self.memory.payments
        return {
            payment_id: payments[payment_id].known for payment_id in payment_ids if payment_id in payments
        }

    def _changes(self, intents: Sequence[Intent], now: datetime) -> Changes:
        at = milliseconds(now)
        known = self._known(intent.payment_id for intent in intents)
        return Changes(self.owner, at, at + int(self.lease_seconds * 1000), known, dict(self.memory.carries))

    def _apply(self, changes: Changes) -> Sequence[Claim]:
        payments, at = self.memory.payments, changes.now
        self.memory.carries |= {carried.key: carried.after for carried in changes.carried}
        self.memory.carried += changes.carried
        for put in changes.inserts:
            known = changes.known[put.intent.payment_id]
            payments[put.intent.payment_id] = Payment(put.intent, known, at, at, at)
        for put in changes.replaces:
            earlier = payments[put.intent.payment_id]
            self._close(earlier, put.closes, at, put.code)
            payments[put.intent.payment_id] = replace(
                earlier,
                intent=put.intent,
                known=changes.known[put.intent.payment_id],
                claimed=at,
                changed=at,
                code=None,
            )
        for takeover in changes.takeovers:
            payment = payments[takeover.intent.payment_id]
            self._close(payment, takeover.closes, at, None)
            payment.known = changes.known[takeover.intent.payment_id]
            payment.claimed = payment.changed = at
            payment.intent = payment.intent._replace(trace_id=takeover.intent.trace_id)
        for intent in changes.duplicates:
            payment = payments[intent.payment_id]
            payment.duplicates += 1
            self.memory.enter(
                Happening.DUPLICATE, intent.payment_id, True, intent.attempt, None, intent.trace_id,
                self.owner, at, at, *_described(payment.intent),
            )  # fmt: skip
        return changes.answered(lambda payment_id: payments[payment_id].intent.body)

    def _close(self, payment: Payment, happenings: Iterable[Happening], at: int, code: str | None) -> None:
        """Write the entries that end a claim; none where the payment was in nobody's hands."""
        for happening in happenings:
            intent, known = payment.intent, payment.known
            self.memory.enter(
                happening, intent.payment_id, True, known.attempt, code, intent.trace_id, known.owner,
                payment.claimed, at, *_described(intent),
            )  # fmt: skip


def _described(intent: Intent) -> tuple[Any, ...]:
    return (
        intent.currency, intent.scale, intent.gross, intent.net, intent.fees, intent.rule,
        intent.rules_version, intent.candidate, intent.processor, intent.dispatch_id, intent.body,
    )  # fmt: skip


def _of_stray(ending: Ending) -> tuple[Any, ...]:
    if ending.way is None:
        return ()
    currency, scale, *route = ending.way
    return (currency, scale, ending.gross, ending.gross, 0, *route[:3])


@dataclass(slots=True)
class MemoryOutbox:
    """See ``Outbox``."""

    owner: str
    memory: Memory
    lease_seconds: float = 30.0

    def due(self, now: datetime, limit: int) -> Due | None:
        """See ``Outbox``."""
        position, owner, lease_until = self.memory.outbox
        at = milliseconds(now)
        told = [
            entry
            for entry in self.memory.entries
            if entry.number > position
            and entry.happening in PUBLISHED
            and (entry.claimed or entry.happening is not Happening.DISPATCHED)
        ][:limit]
        if not told or (owner != self.owner and at < lease_until):
            return None
        self.memory.outbox = (position, self.owner, at + int(self.lease_seconds * 1000))
        events = [event_of(entry, self.memory.fingerprint_key) for entry in told]
        return Due(events, str(told[-1].number))

    def done(self, position: str) -> bool:
        """See ``Outbox``."""
        before, owner, lease_until = self.memory.outbox
        if owner != self.owner or int(position) <= before:
            return False
        self.memory.outbox = (int(position), owner, lease_until)
        return True

    def close(self) -> None:
        """See ``Outbox``."""
        position, owner, _ = self.memory.outbox
        if owner == self.owner:
            self.memory.outbox = (position, owner, 0)


@dataclass(slots=True)
class MemoryBooks:
    """Reads a memory."""

    memory: Memory

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """See ``Books``."""
        memory = self.memory
        payments = {payment_id: replace(payment) for payment_id, payment in memory.payments.items()}
        self.memory = replace(
            memory, payments=payments, entries=[*memory.entries], carries={**memory.carries},
            carried=[*memory.carried],
        )  # fmt: skip
        try:
            yield
        finally:
            self.memory = memory

    def find(self, name: str) -> Standing | None:
        """See ``Books``."""
        for payment in self.memory.payments.values():
            if name in (payment.intent.payment_id, payment.intent.dispatch_id):
                return _standing(payment)
        for entry in self.memory.entries:
            if entry.dispatch_id == name and entry.payment_id is not None:
                return self.find(entry.payment_id)
        return None

    def neighbours(self, name: str, count: int) -> Sequence[str]:
        """See ``Books``."""
        known = sorted(self.memory.payments)
        before, after = bisect_left(known, name), bisect_right(known, name)
        return [*known[max(before - count, 0) : before], *known[after : after + count]]

    def states(self, payment_ids: Collection[str]) -> Mapping[str, State]:
        """See ``Books``."""
        known = self.memory.payments
        return {one: known[one].known.state for one in payment_ids if one in known}

    def standings(self, payment_ids: Collection[str]) -> Mapping[str, Standing]:
        """See ``Books``."""
        known = self.memory.payments
        return {one: _standing(known[one])._replace(body=None) for one in set(payment_ids) if one in known}

    def dispatched_to(
        self, processor: str, since: int | None = None, until: int | None = None
    ) -> Iterator[Standing]:
        """See ``Books``."""
        for page in self.pages():
            found = page.standing
            if (
                (found.state, found.processor) == (State.DISPATCHED, processor)
                and (since is None or found.changed >= since)
                and (until is None or found.changed < until)
            ):
                yield found

    def processors(self) -> Collection[str]:
        """See ``Books``."""
        now = {payment.intent.processor for payment in self.memory.payments.values()}
        return {name for name in now | {entry.processor for entry in self.memory.entries} if name is not None}

    def history(self, payment_id: str) -> Sequence[Entry]:
        """See ``Books``."""
        return [entry for entry in self.memory.entries if entry.payment_id == payment_id]

    def pages(self, *, bodies: bool = False) -> Iterator[Page]:
        """See ``Books``."""
        for payment_id, payment in self.memory.payments.items():
            standing = _standing(payment)
            entries = [entry for entry in self.history(payment_id) if entry.claimed]
            if not bodies:
                standing = standing._replace(body=None)
                entries = [entry._replace(body=None) for entry in entries]
            carried = [each for each in self.memory.carried if each.payment_id == payment_id]
            yield Page(standing, entries, payment.known.charged, payment.known.keys, carried)

    def size(self) -> int:
        """See ``Books``."""
        return len(self.memory.payments)

    def strays(self) -> Iterator[Entry]:
        """See ``Books``."""
        return (entry for entry in self.memory.entries if not entry.claimed)

    def last_number(self) -> int:
        """See ``Books``."""
        return len(self.memory.entries)

    def totals(
        self, by: Sequence[Dimension], since: int | None = None, until: int | None = None
    ) -> Iterator[Total]:
        """See ``Books``."""
        totals: dict[tuple[Any, ...], Total] = {}
        for entry in self.memory.entries:
            if (since is None or entry.ended >= since) and (until is None or entry.ended < until):
                values = tuple(
                    entry.ended // HOUR if one is Dimension.HOUR else getattr(entry, one) for one in by
                )
                key = (values, entry.happening, entry.scale)
                _, _, _, *sums = totals.get(key, Total(*key, 0, 0, 0, 0))
                found = (1, entry.gross or 0, entry.net or 0, entry.fees or 0)
                totals[key] = Total(*key, *map(operator.add, sums, found))
        yield from totals.values()

    def remainders(self) -> Mapping[str, Kept]:
        """See ``Books``."""
        return {key: Kept(remainder, Fraction()) for key, remainder in self.memory.carries.items()}

    def close(self) -> None:
        """See ``Books``."""


def _standing(payment: Payment) -> Standing:
    intent, known = payment.intent, payment.known
    return Standing(
        known.payment_id, known.fingerprint.hex(), known.state, known.attempt, known.redrives, known.pinned,
        known.owner, known.lease_until, intent.currency, intent.scale, intent.gross, intent.net, intent.fees,
        known.rule, known.rules_version, known.candidate, known.processor, known.exchange, known.routing_key,
        known.dispatch_id, known.priority, intent.body, payment.code, intent.trace_id,
        None if known.charged is None else known.charged.trail, payment.created, payment.changed,
        payment.duplicates,
    )  # fmt: skip
