"""A processor's settlement file, read line by line: CSV with a header, or NDJSON."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

from worker.bookkeeping.amounts import worth
from worker.errors import InvalidSettlement, WorkerError
from worker.money import parse_units

FIELDS: Final = ("payment_id", "amount", "currency")
_DELIMITERS: Final = ",;\t|"


class Settled(NamedTuple):
    """One line: a payment that the processor says it has settled; ``units`` are of 10^-12."""

    line: int
    payment_id: str
    currency: str
    units: int


class Unreadable(NamedTuple):
    """A line that says nothing of a payment, and why."""

    line: int
    why: str


Line: TypeAlias = Settled | Unreadable


@dataclass(frozen=True, slots=True)
class SettlementFile:
    """A file of lines; ``columns`` gives fields' names in the file where they are not our own."""

    stream: BinaryIO
    columns: Mapping[str, str]

    def __iter__(self) -> Iterator[Line]:
        """Yield every line; one that cannot be read stops nothing.

        Raises:
            InvalidSettlement: the file as a whole is none, and what was expected.
        """
        text = io.TextIOWrapper(self.stream, encoding="utf-8-sig", errors="replace", newline="")
        first = text.readline()
        return self._json(first, text) if first.lstrip().startswith("{") else self._csv(first, text)

    def _json(self, first: str, text: io.TextIOWrapper) -> Iterator[Line]:
        lines = enumerate(_all(first, text), start=1)
        yield from (self._json_line(number, line) for number, line in lines if not line.isspace())

    def _json_line(self, number: int, line: str) -> Line:
        try:
            document = json.loads(line, parse_float=str, parse_int=str)  # as written: a float is not exact
        except ValueError as error:
            return Unreadable(number, f"no JSON: {error}")
        if not isinstance(document, dict):
            return Unreadable(number, "no JSON object")
        found = {field: document.get(self._name(field)) for field in FIELDS}
        if isinstance(found["amount"], dict):  # as payments have it
            found |= {"amount": found["amount"].get("value"), "currency": found["amount"].get("currency")}
        return _line(number, *found.values())

    def _csv(self, first: str, text: io.TextIOWrapper) -> Iterator[Line]:
        delimiter = max(_DELIMITERS, key=first.count)
        rows = csv.reader(_all(first, text), delimiter=delimiter)
        header = [name.strip() for name in next(rows, [])]
        places = [self._place(field, header) for field in FIELDS]
        while True:
            number = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Unreadable(number, f"no CSV: {error}")
                continue
            if row:
                yield _line(number, *(row[place].strip() if place < len(row) else None for place in places))

    def _place(self, field: str, header: Sequence[str]) -> int:
        name = self._name(field)
        if name in header:
            return header.index(name)
        near = get_close_matches(name, header, n=1)
        hint = f"did you mean --column {field}={near[0]}" if near else f"--column {field}=NAME names it"
        raise InvalidSettlement(
            f"the file has no column {name}, {hint}; its first line must name the columns, and is:"
            f" {', '.join(header) or '(empty)'}"
        )

    def _name(self, field: str) -> str:
        return self.columns.get(field, field)


def _all(first: str, text: io.TextIOWrapper) -> Iterator[str]:
    yield first
    yield from text


def _line(number: int, payment_id: Any, amount: Any, currency: Any) -> Line:
    for field, value in zip(FIELDS, (payment_id, amount, currency), strict=True):
        if not isinstance(value, str) or not value:
            return Unreadable(number, f"no {field}")
    try:
        return Settled(number, payment_id, currency.upper(), worth(*parse_units(amount)))
    except WorkerError as error:
        return Unreadable(number, str(error))
