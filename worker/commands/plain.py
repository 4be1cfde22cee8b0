"""How results look on a terminal and as JSON. What others wrote is shown, never obeyed."""

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CARD: Final = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,18}(?!\d)")
"""What the card networks' numbers look like."""
INDENT: Final = "  "


def write_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object as a line."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def result_console() -> Console:
    """Return a console for results; where no terminal sets the width, wide enough for tables."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)


def grid(facts: Mapping[str, object]) -> Table:
    """Return names and values in two columns, those that are None left out."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value is not None:
            table.add_row(Text(INDENT + clean(name), style="dim"), safe(str(value)))
    return table


def safe(value: str) -> Text:
    """Return what others wrote, made harmless."""
    return Text(mask_cards(clean(value)))


def clean(value: str) -> str:
    """Write what a terminal would obey as an escape, all but line breaks."""
    if value.isprintable():
        return value
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in value
    )


def mask_cards(value: str) -> str:
    """Mask what can be a card number but for its first six and last four digits: 13 to 19 that pass Luhn."""
    return _CARD.sub(lambda found: _masked(found[0]), value)


def _masked(value: str) -> str:
    digits = [int(one) for one in value if one.isdigit()]
    doubled = [
        one if place % 2 == 0 else (2 * one - 1) % 9 + 1 if one else 0
        for place, one in enumerate(reversed(digits))
    ]
    if sum(doubled) % 10:
        return value
    shown = "".join(map(str, digits))
    return f"{shown[:6]}{'*' * (len(shown) - 10)}{shown[-4:]}"


def when(moment: datetime | None) -> str:
    """Return a moment as people read it, in UTC."""
    return "?" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def grouped(amount: str) -> str:
    """Return a plain decimal with its thousands apart."""
    sign, digits = ("-", amount[1:]) if amount.startswith("-") else ("", amount)
    whole, point, fraction = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"
