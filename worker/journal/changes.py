"""From a batch and what is known of its payments to the answers and what is to be written. Pure.

Backends differ in how they read and write; what they write is decided here.
"""

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.errors import InvariantViolation, PermanentError
from worker.journal.decide import Change, Known, on_amend, on_claim, on_record
from worker.journal.entries import Happening
from worker.journal.protocol import (
    NEW,
    Amendment,
    Charged,
    Claim,
    Conflict,
    Ending,
    Held,
    Intent,
    New,
    Unfit,
)
from worker.journal.states import State
from worker.money import Carry


class Put(NamedTuple):
    """An intent to be written for a payment, new or known.

    ``closes`` are the entries that end the claim before, with ``code``; none where there is none to end.
    """

    intent: Intent
    charged: Charged | None
    keys: tuple[str, ...]
    closes: tuple[Happening, ...] = ()
    code: str | None = None


class Carried(NamedTuple):
    """How one payment has changed one remainder."""

    payment_id: str
    key: str
    before: Carry
    after: Carry


class Takeover(NamedTuple):
    """A known intent that another worker resumes; ``closes`` as for ``Put``."""

    intent: Intent
    closes: tuple[Happening, ...]


@dataclass(slots=True)
class Changes:
    """What a batch of claims changes, in the order in which it is to be written.

    ``answered`` gives the answers, once it is told the bodies of the intents that are resumed.
    """

    owner: str
    now: int
    lease_until: int
    known: MutableMapping[str, Known]
    carries: MutableMapping[str, Carry]
    answers: list[Claim] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    inserts: list[Put] = field(default_factory=list)
    replaces: list[Put] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    duplicates: list[Intent] = field(default_factory=list)
    resumed: list[tuple[int, Known]] = field(default_factory=list)

    def claim(self, intents: Iterable[Intent]) -> None:
        """Decide about intents, one after the other: a later one may meet what an earlier one has changed."""
        for intent in intents:
            known = self.known.get(intent.payment_id)
            self.answers.append(self._new(intent) if known is None else self._claim(known, intent))

    def amend(self, amendments: Iterable[Amendment]) -> None:
        """Decide about next candidates."""
        for amendment in amendments:
            intent = amendment.intent
            known = self.known.get(intent.payment_id)
            if known is None:
                raise InvariantViolation(f"payment {intent.payment_id} was refused, but has no claim")
            change = on_amend(known, amendment, self.owner, self.now)
            if isinstance(change, Held):
                self.answers.append(change)
            else:
                self.answers.append(self._replace(known, intent, (Happening.REFUSED,), amendment.code))

    def answered(self, body: Callable[[str], bytes | None]) -> list[Claim]:
        """Return the answers in the order of the batch; ``body`` gives the bytes of a payment's intent."""
        for place, known in self.resumed:
            self.answers[place] = known.resume(body(known.payment_id))
        return self.answers

    def _claim(self, known: Known, intent: Intent) -> Claim:
        change = on_claim(known, intent, self.now)
        if isinstance(change, Held):
            return change
        match change:
            case Change.CONFLICT:
                return Conflict(known.fingerprint.hex(), intent.fingerprint.hex())
            case Change.DUPLICATE:
                self.duplicates.append(intent)
                return known.done()
        closes: tuple[Happening, ...] = (Happening.ABANDONED,) if known.state is State.CLAIMED else ()
        if change is Change.RESUME:
            self.takeovers.append(Takeover(intent, closes))
            self.resumed.append((len(self.answers), known))
            self.known[intent.payment_id] = known._replace(
                state=State.CLAIMED, attempt=intent.attempt, redrives=intent.redrives, pinned=True,
                owner=self.owner, lease_until=self.lease_until,
            )  # fmt: skip
            return NEW  # until its body is read
        if intent.returned is not None and intent.returned == known.dispatch_id:
            # the processor had it, even where its dispatch is not on record
            at_processor = known.state is State.DISPATCHED
            closes = (Happening.RETURNED,) if at_processor else (Happening.DISPATCHED, Happening.RETURNED)
        return self._replace(known, intent, closes, None)

    def _new(self, intent: Intent) -> Claim:
        try:
            intent, charged = self._charge(intent, None, ())
        except PermanentError as error:
            return Unfit(error)
        keys = () if intent.carrying is None else intent.carrying.keys
        self.inserts.append(Put(intent, charged, keys))
        self._now_known(intent, charged, keys)
        return NEW if charged is None else New(charged)

    def _replace(
        self, known: Known, intent: Intent, closes: tuple[Happening, ...], code: str | None
    ) -> Claim:
        try:
            intent, charged = self._charge(intent, known.charged, known.keys)
        except PermanentError as error:
            return Unfit(error)
        keys = known.keys if intent.carrying is None else intent.carrying.keys
        self.replaces.append(Put(intent, charged, keys, closes, code))
        self._now_known(intent, charged, keys)
        return NEW if intent.carrying is None else New(charged)

    def _charge(
        self, intent: Intent, charged: Charged | None, charged_with: tuple[str, ...]
    ) -> tuple[Intent, Charged | None]:
        """Return an intent with what carry makes of its amounts, which counts once for a payment.

        A payment that was charged before is charged the same again; or, where the rules have other fees by
        now, without remainders.
        """
        carrying = intent.carrying
        if carrying is None:
            return intent, charged
        if charged is None:
            before = [self.carries.get(key, _NOTHING) for key in carrying.keys]
            charged, after = carrying.charge(before)
            for key, was, is_now in zip(carrying.keys, before, after, strict=True):
                self.carries[key] = is_now
                self.carried.append(Carried(intent.payment_id, key, was, is_now))
        elif carrying.keys != charged_with:
            charged, _ = carrying.charge([_NOTHING] * len(carrying.keys))
        fixed = intent._replace(
            body=None if intent.dispatch_id is None else carrying.body(charged), scale=charged.scale,
            gross=charged.gross, net=charged.net, fees=charged.gross - charged.net,
        )  # fmt: skip
        return fixed, charged

    def _now_known(self, intent: Intent, charged: Charged | None, keys: tuple[str, ...]) -> None:
        self.known[intent.payment_id] = Known(
            intent.payment_id, intent.fingerprint, State.CLAIMED, intent.attempt, intent.redrives, False,
            self.owner, self.lease_until, intent.rule, intent.rules_version, intent.candidate,
            intent.processor, intent.exchange, intent.routing_key, intent.dispatch_id, intent.priority,
            charged, keys,
        )  # fmt: skip


_NOTHING = Carry()


class Sorted(NamedTuple):
    """Endings by what they change: ``ended`` payments, and ``strays`` that change none."""

    ended: list[Ending]
    strays: list[Ending]


def sort_endings(
    endings: Sequence[Ending],
    known: MutableMapping[str, Known],
    owner: str,
    was_intent: Callable[[str, str], bool],
) -> Sorted:
    """Decide what endings change; ``was_intent`` as for ``on_record``.

    Raises:
        InvariantViolation: an ending without a claim, or one that may not follow; nothing is written then.
    """
    found = Sorted([], [])
    for ending in endings:
        if ending.payment_id is None or not ending.claimed:
            found.strays.append(ending)
            continue
        payment = known.get(ending.payment_id)
        if payment is None:
            raise InvariantViolation(f"payment {ending.payment_id} is {ending.state}, but has no claim")
        match on_record(payment, ending, owner, was_intent):
            case Change.END:
                found.ended.append(ending)
                known[ending.payment_id] = payment._replace(state=ending.state)
            case Change.STRAY:
                found.strays.append(ending)
    return found
