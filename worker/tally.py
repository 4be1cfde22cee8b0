"""The demo's books: what was sent, what arrived where, and whether the two agree to the last minor unit.

It stands in for the processors and reads only what is on the wire, so that it proves what the worker did and
not what the worker thinks it did.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson

from worker.codec import amount_hint
from worker.money import MAX_SCALE, format_units, parse_units
from worker.money.text import POWERS


@dataclass(slots=True)
class Sums:
    """Amounts of one currency, as integers of 10^-12."""

    sent: int = 0
    paid: int = 0
    gross: int = 0
    fees: int = 0
    net: int = 0
    dead: int = 0

    @property
    def difference(self) -> int:
        """What is missing (positive) or too much; 0 when the books balance."""
        return (self.sent - self.paid - self.dead) + (self.gross - self.fees - self.net)


@dataclass(slots=True)
class Tally:
    """Counts every payment once, however often it arrives."""

    sent: Counter[bytes] = field(default_factory=Counter)
    by_processor: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    money: defaultdict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    repeats: int = 0
    dead_repeats: int = 0
    problems: list[str] = field(default_factory=list)
    _dispatched: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    _dead: Counter[bytes] = field(default_factory=Counter)
    _outstanding: Counter[bytes] = field(default_factory=Counter)

    def send(self, body: bytes) -> None:
        """Count a payment on its way to the worker."""
        self.sent[body] += 1
        self._outstanding[_key(body)] += 1
        if amount := amount_hint(body):
            self.money[amount[0]].sent += amount[1]

    def dispatched(self, processor: str, body: bytes) -> None:
        """Count what a processor received; the same dispatch again is a repeat, anything else a problem."""
        dispatch = orjson.loads(body)
        payment_id, dispatch_id = dispatch["payment_id"], dispatch["dispatch_id"]
        known = self._dispatched.get(payment_id)
        if known is not None:
            if known == (dispatch_id, body):
                self.repeats += 1
            else:
                self.problems.append(f"{payment_id} was dispatched twice, differently")
            return
        self._dispatched[payment_id] = (dispatch_id, body)
        self.by_processor[processor] += 1
        self._settle(payment_id.encode(), f"{processor} received {payment_id}")
        gross, net = _units(dispatch["gross"]), _units(dispatch["net"])
        fees = sum(_units(fee["amount"]) for fee in dispatch["fees"])
        if gross != net + fees:
            self.problems.append(f"{payment_id}: gross {gross} is not net {net} and fees {fees}")
        if dispatch["processor"] != processor:
            self.problems.append(f"{payment_id} for {dispatch['processor']} arrived at {processor}")
        sums = self.money[dispatch["gross"]["currency"]]
        sums.paid += _units(dispatch["amount"])
        sums.gross += gross
        sums.fees += fees
        sums.net += net

    def dead(self, code: str, body: bytes) -> None:
        """Count a dead letter; its body must be one that was sent, and once more is a repeat."""
        if self._dead[body] and self._dead[body] >= self.sent[body]:
            self.dead_repeats += 1
            return
        self._dead[body] += 1
        self.by_code[code] += 1
        self._settle(_key(body), f"a dead letter ({code})")
        if body not in self.sent:
            self.problems.append(f"a dead letter ({code}) has a body that nobody sent")
        if amount := amount_hint(body):
            self.money[amount[0]].dead += amount[1]

    def _settle(self, key: bytes, what: str) -> None:
        if self._outstanding[key] < 1:
            self.problems.append(f"{what}, which was not outstanding")
        self._outstanding[key] -= 1

    @property
    def accounted(self) -> int:
        """How many payments have arrived somewhere."""
        return self.by_processor.total() + self.by_code.total()

    @property
    def missing(self) -> int:
        """How many payments have not."""
        return sum(count for count in self._outstanding.values() if count > 0)

    @property
    def balanced(self) -> bool:
        """Whether every payment is accounted for and every currency's books balance."""
        return not self.missing and not self.problems and not any(s.difference for s in self.money.values())


def show(units: int) -> str:
    """Write an integer of 10^-12 as a decimal, without the zeros that say nothing beyond two digits."""
    whole, _, fraction = format_units(units, MAX_SCALE).partition(".")
    fraction = fraction.rstrip("0").ljust(2, "0")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}.{fraction}"


def _units(amount: dict[str, str]) -> int:
    units, scale = parse_units(amount["value"])
    return units * POWERS[MAX_SCALE - scale]


def _key(body: bytes) -> bytes:
    """Return what a payment is known by: its id, or its whole body where that cannot be read."""
    try:
        payment_id: Any = orjson.loads(body)["payment_id"]
        return str(payment_id).encode()
    except (ValueError, KeyError, TypeError):
        return body
