"""Which payment ids are surely new: a bitmap in memory that spares most looks into a large index.

A bit that is not set says that no payment id of that hash is in the index. A set one says nothing: then the
index is asked. Each process makes its own, in the background, once the index is too large for SQLite's cache.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zlib import crc32

from worker.errors import WorkerError
from worker.journal.sqlite.connection import SHORT_SECONDS, connect, speaking_of

SMALLEST_INDEX: Final = 500_000
"""Rows of an index from which on it is worth it."""
_BITS_A_ROW: Final = 16
_MOST_BYTES: Final = 1 << 26
_ROWS_A_STEP: Final = 500
_PAUSE_SECONDS: Final = 0.001
"""Between two steps, for the event loop: ten million rows take some 40 seconds."""


class Sieve:
    """A bitmap for so many ids, of up to 64 MB."""

    __slots__ = ("_bits", "_mask", "_room")

    def __init__(self, rows: int) -> None:
        size = 1 << max(rows * _BITS_A_ROW // 8, 1024).bit_length()
        self._bits = bytearray(min(size, _MOST_BYTES))
        self._mask = len(self._bits) - 1
        self._room = max(rows, len(self._bits) * 8 // _BITS_A_ROW)

    @property
    def is_full(self) -> bool:
        """Whether so many ids are in it that it should be made anew, unless it is as large as can be."""
        return self._room <= 0 and len(self._bits) < _MOST_BYTES

    def add(self, payment_ids: Iterable[str]) -> None:
        """Take note of ids that are in the index."""
        bits, mask = self._bits, self._mask
        for payment_id in payment_ids:
            hashed = crc32(payment_id.encode())
            bits[hashed >> 3 & mask] |= 1 << (hashed & 7)
            self._room -= 1

    def sift(self, payment_ids: Collection[str]) -> list[str]:
        """Return those that may be in the index."""
        bits, mask = self._bits, self._mask
        return [
            payment_id
            for payment_id in payment_ids
            if bits[(hashed := crc32(payment_id.encode())) >> 3 & mask] >> (hashed & 7) & 1
        ]


@dataclass(slots=True)
class Sieved:
    """A process's sieve, where it has one; ``meanwhile`` is what is indexed while a new one is made."""

    sieve: Sieve | None = None
    meanwhile: list[str] | None = None

    def add(self, payment_ids: list[str]) -> None:
        """Take note of ids that have come into the index."""
        if self.sieve is not None:
            self.sieve.add(payment_ids)
        if self.meanwhile is not None:
            self.meanwhile += payment_ids

    def lose(self) -> None:
        """Do without, since ids have come into the index that nobody knows: also the one in the making."""
        self.sieve = self.meanwhile = None

    def take(self, made: Sieve | None) -> None:
        """Use a sieve that was made."""
        if made is not None and self.meanwhile is not None:
            made.add(self.meanwhile)
            self.sieve = made
        self.meanwhile = None

    def sift(self, payment_ids: Collection[str]) -> Collection[str]:
        """Return those that may be in the index."""
        return payment_ids if self.sieve is None else self.sieve.sift(payment_ids)


@dataclass(slots=True)
class Sieving:
    """Gives an index its sieve, once it is made: in a thread of its own, from all ids on disk.

    What is put into the index meanwhile is found in ``Sieved.meanwhile``.
    """

    path: Path
    _made: Sieve | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def tend(self, sieved: Sieved, rows: int) -> None:
        """Hand over the sieve that was made, or begin with one where an index of so many rows wants it."""
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._thread = None
            made, self._made = self._made, None
            sieved.take(made)
        elif rows >= SMALLEST_INDEX and (sieved.sieve is None or sieved.sieve.is_full):
            sieved.meanwhile = []
            self._thread = threading.Thread(target=self._run, args=(rows,), name="journal sieve", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Give up."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, rows: int) -> None:
        try:
            opened = connect(self.path, read_only=True, busy_seconds=SHORT_SECONDS)
            with closing(opened) as connection, speaking_of(self.path):
                self._made = self._make(connection, rows)
        except WorkerError:  # claims go without, and meet the same trouble
            return

    def _make(self, connection: sqlite3.Connection, rows: int) -> Sieve | None:
        sieve, last = Sieve(rows), ""
        while step := [payment_id for (payment_id,) in connection.execute(_STEP, (last, _ROWS_A_STEP))]:
            sieve.add(step)
            last = step[-1]
            if self._stop.wait(_PAUSE_SECONDS):
                return None
        return sieve


_STEP: Final = "SELECT payment_id FROM ids WHERE payment_id > ? ORDER BY payment_id LIMIT ?"
"""A statement a step, not one for all: a long read would keep the write-ahead log from starting anew."""
