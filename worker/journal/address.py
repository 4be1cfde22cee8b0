"""Where a journal is: the URL of the settings, taken apart. Pure."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePath
from typing import Final, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit


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
_EXPECTED: Final = "sqlite:///file, postgresql://user@host/database, memory: or none"


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
        case "sqlite" if parts.query or parts.fragment:
            raise ValueError(
                f"a file's journal takes no options, which {text!r} has after ? or #; in a file's name these"
                " are written %3F and %23"
            )
        case "sqlite" if text.startswith("sqlite:///") and len(parts.path) > 1:
            return SqliteFile(PurePath(unquote(parts.path[1:])))
        case "sqlite":
            raise ValueError(
                "a file's journal is sqlite:///payments.db, or sqlite:////var/lib/payments.db from the root"
            )
        case "postgresql" | "postgres":
            _check_server(parts)
            return Postgresql(text)
        case "":
            raise ValueError(f"{text!r} is no journal's URL; expected {_EXPECTED}")
        case "memory":
            raise ValueError("memory: stands alone: nothing may follow it")
        case other:
            near = get_close_matches(other, _SCHEMES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected {_EXPECTED}"
            raise ValueError(f"a journal's URL does not begin with {other!r}; {hint}")


def _check_server(parts: SplitResult) -> None:
    """Refuse what is not even the form of a server's URL; the rest is for libpq to say."""
    try:
        well_formed = parts.port != 0
    except ValueError:
        well_formed = "," in parts.netloc  # several hosts, which libpq knows and urlsplit does not
    if not well_formed:
        raise ValueError("the port of the server in the journal's URL is no number from 1 to 65535")
    if not parts.netloc and not parts.path.startswith("/"):
        raise ValueError("a journal in PostgreSQL is postgresql://user@host/database")


def without_password(url: str) -> str:
    """Return a server's URL for people; it may name several hosts, and the password among the options."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    options = "&".join(one for one in parts.query.split("&") if not one.lower().startswith("password="))
    return parts._replace(netloc=user.partition(":")[0] + at + hosts, query=options).geturl()
