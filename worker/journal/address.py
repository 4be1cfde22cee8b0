"""Where a journal is: the URL of the settings, taken apart. Pure."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePath
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class NoJournal:
    """Nothing is remembered: a payment that is delivered again may be planned for another processor."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """Remembered until the process ends, by nobody else: for tests."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """One file, for the processes of one host."""

    path: PurePath


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A PostgreSQL database, for several hosts; ``url`` is libpq's."""

    url: str = field(repr=False)


Address: TypeAlias = NoJournal | InMemory | SqliteFile | Postgresql
_SCHEMES: Final = ("sqlite", "postgresql", "memory", "none")


def parse_address(text: str) -> Address:
    """Read a journal's URL: ``sqlite:///file``, ``postgresql://...``, ``memory:`` or ``none``.

    As elsewhere, three slashes are followed by a path from the working folder, four by one from the root.

    Raises:
        ValueError: it is none of these, in words for people.
    """
    if text.rstrip(":") in ("none", "memory"):
        return NoJournal() if text.startswith("none") else InMemory()
    parts = urlsplit(text)
    match parts.scheme:
        case "sqlite" if text.startswith("sqlite:///") and len(parts.path) > 1:
            return SqliteFile(PurePath(unquote(parts.path[1:])))
        case "sqlite":
            raise ValueError(
                "a file's journal is sqlite:///payments.db, or sqlite:////var/lib/payments.db from the root"
            )
        case "postgresql" | "postgres":
            return Postgresql(text)
        case other:
            near = get_close_matches(other, _SCHEMES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(_SCHEMES[:-1])} or none"
            raise ValueError(f"a journal's URL does not begin with {other!r}; {hint}")
