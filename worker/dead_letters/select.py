"""Which dead letters a command is about: those that pass every filter given, or all of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.dead_letters.letter import DeadLetter, read_moment
from worker.errors import ConfigurationError
from worker.retry_settings import parse_duration


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters. Of one with several values any may hold; amounts are units of 10^-12 of ``currency``.

    ``ids`` are payment ids or letters' own. Times are those of death, both bounds included; a letter without
    a readable time, amount or processor passes no filter that asks for one.
    """

    codes: frozenset[str] = frozenset()
    processors: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    currency: str | None = None
    at_least: int | None = None
    at_most: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no filter is given."""
        return self == Selection()

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter passes every filter."""
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.ids or letter.payment_id in self.ids or letter.letter_id in self.ids)
            and (not self.processors or not self.processors.isdisjoint(letter.processors))
            and self._takes_amount(letter)
            and self._takes_time(letter)
        )

    def _takes_amount(self, letter: DeadLetter) -> bool:
        if self.currency is None:
            return True
        if letter.amount is None or letter.amount[0] != self.currency:
            return False
        units = letter.amount[1]
        return (self.at_least is None or units >= self.at_least) and (
            self.at_most is None or units <= self.at_most
        )

    def _takes_time(self, letter: DeadLetter) -> bool:
        if self.since is None and self.until is None:
            return True
        died = letter.dead_at
        return (
            died is not None
            and (self.since is None or died >= self.since)
            and (self.until is None or died <= self.until)
        )


def parse_moment(text: str, now: datetime, option: str) -> datetime:
    """Read a moment: RFC 3339 with an offset, or a duration such as ``2h``, which means that long ago.

    Raises:
        ConfigurationError: it is neither; ``option`` is named.
    """
    moment = _ago(text, now) or read_moment(text)
    if moment is None:
        raise ConfigurationError(
            f"{option} {text!r}: expected a time with its offset, such as 2026-11-24T12:00:00Z, or how long"
            " ago, such as 30m, 2h or 7d"
        )
    return moment


def _ago(text: str, now: datetime) -> datetime | None:
    try:
        seconds = parse_duration(text)
        return now - timedelta(seconds=seconds) if isinstance(seconds, float) else None
    except (ValueError, OverflowError):
        return None
