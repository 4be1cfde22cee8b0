"""Exchange rates from a file, as a treasury might publish them once a day."""

from datetime import datetime
from pathlib import Path

from worker.plugins import Arguments, Currency, MissingRate, Rate


class RateTableArguments(Arguments):
    """Where the table is: lines such as ``EUR USD 1.0812 2026-11-24T06:00:00Z``."""

    file: str
    source: str = "treasury"


class RateTable:
    """Knows the rates of a file. It looks again for each payment, so that a new table needs no reload."""

    arguments = RateTableArguments

    def __init__(self, arguments: RateTableArguments) -> None:
        self._file = Path(arguments.file)
        self._source = arguments.source

    def rate(self, base: Currency, quote: Currency, now: datetime) -> Rate:  # noqa: ARG002
        """Return the rate of the pair as the file has it."""
        for line in self._file.read_text(encoding="utf-8").splitlines():
            first, second, text, published = line.split()
            if (first, second) == (base.code, quote.code):
                as_of = int(datetime.fromisoformat(published).timestamp())
                return Rate.parse(text, base, quote, source=self._source, as_of=as_of)
        raise MissingRate(f"rate {base.code}/{quote.code}: not in {self._file.name}")
