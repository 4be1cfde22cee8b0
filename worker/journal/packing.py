"""What carry made of a payment's amounts, as text for a column. Pure."""

from collections.abc import Sequence

import orjson

from worker.errors import JournalCorrupt
from worker.journal.changes import Put
from worker.journal.protocol import Charged


def packed(puts: Sequence[Put]) -> list[str | None]:
    """Return what carry made of the amounts of payments, as it is kept."""
    return [None if put.charged is None else pack(put.charged, put.keys) for put in puts]


def pack(charged: Charged, keys: Sequence[str]) -> str:
    """Write what carry made of a payment's amounts."""
    return orjson.dumps([*charged, keys]).decode()


def unpack(text: str | None) -> tuple[Charged | None, tuple[str, ...]]:
    """Read what ``pack`` wrote.

    Raises:
        JournalCorrupt: it is something else.
    """
    if text is None:
        return None, ()
    try:
        gross, net, scale, fees, trail, keys = orjson.loads(text)
    except (ValueError, TypeError):
        raise JournalCorrupt(f"the journal has a payment charged with {text[:80]!r}, which is none") from None
    return Charged(gross, net, scale, tuple(fees), trail), tuple(keys)
