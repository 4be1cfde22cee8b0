"""The audit: one JSON line for each dead letter that leaves the queue by hand, written before it leaves."""

import getpass
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.totals import plain_amount
from worker.envelope import rfc3339
from worker.errors import ConfigurationError

_PRIVATE: Final = 0o600


def who() -> str:
    """Return ``user@host``, for the audit."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user on this machine, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@dataclass(slots=True)
class Lines:
    """Lines that are on disk when ``write`` returns, or for a stream that is no file, out of our hands."""

    stream: BinaryIO
    on_disk: bool

    @classmethod
    def append(cls, path: Path) -> "Lines":
        """Open a file to add to. A line that an earlier run left unfinished stays a line of its own.

        Raises:
            ConfigurationError: it cannot be written.
        """
        lines = cls(_open(path, os.O_APPEND | os.O_RDWR), on_disk=True)
        if (size := lines.stream.seek(0, os.SEEK_END)) and os.pread(
            lines.stream.fileno(), 1, size - 1
        ) != b"\n":
            lines.stream.write(b"\n")
        return lines

    @classmethod
    def new(cls, path: Path) -> "Lines":
        """Make a file that only its owner may read.

        Raises:
            ConfigurationError: there is one already, or it cannot be written.
        """
        return cls(_open(path, os.O_EXCL | os.O_WRONLY), on_disk=True)

    def write(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Write each value as a line of JSON.

        Raises:
            ConfigurationError: the disk is full, or the file is out of reach.
        """
        try:
            self.stream.write(b"".join(orjson.dumps(value) + b"\n" for value in values))
            self.stream.flush()
            if self.on_disk:
                os.fsync(self.stream.fileno())
        except BrokenPipeError:
            raise  # whoever reads along has seen enough
        except OSError as error:
            raise ConfigurationError(f"cannot write to {self.stream.name}: {error.strerror}") from error

    def close(self) -> None:
        """Close a file."""
        if self.on_disk:
            self.stream.close()


def _open(path: Path, flags: int) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, flags | os.O_CREAT, _PRIVATE), "r+b" if flags & os.O_RDWR else "wb")
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists already, and nothing is written over; name another file"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Audit:
    """Writes what was done to dead letters. ``more`` is the same on each line, such as a reason."""

    lines: Lines
    action: str
    queue: str
    more: Mapping[str, str] = field(default_factory=dict)
    by: str = field(default_factory=who)

    def write(self, letters: Iterable[DeadLetter], now: datetime) -> None:
        """Write a line for each letter.

        Raises:
            ConfigurationError: it could not be written.
        """
        at = rfc3339(now)
        self.lines.write({**self._line(letter), "at": at, "by": self.by, **self.more} for letter in letters)

    def _line(self, letter: DeadLetter) -> dict[str, Any]:
        currency, units = letter.amount or (None, 0)
        return {
            "action": self.action,
            "queue": self.queue,
            "payment_id": letter.payment_id,
            "letter_id": letter.letter_id,
            "code": letter.code,
            "dead_at": rfc3339(letter.dead_at) if letter.dead_at else None,
            "attempts": len(letter.attempts),
            "redrives": letter.arrival.redrives,
            "amount": None
            if currency is None
            else {"value": plain_amount(units, currency), "currency": currency},
        }
