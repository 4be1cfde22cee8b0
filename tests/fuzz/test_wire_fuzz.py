"""Mutated recordings of a real broker: whatever comes, only named errors and bounded memory.

Two seconds in all by default and a minute where ``CI`` is true; ``WIRE_FUZZ_SECONDS`` sets another length, as
`make test` and `make faults` do, and ``WIRE_FUZZ_SEED`` repeats a run. A failure names the seed of its case.
"""

import os
import random
import time
from pathlib import Path

import pytest

from worker.amqp.assembler import Assembler
from worker.amqp.wire import Confirm, Event
from worker.amqp.wire.table_decoding import decode_table
from worker.errors import MalformedProperties, WireError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "amqp"
CAPTURES = [path.read_bytes() for path in sorted(FIXTURES.glob("*.bin"))]
DEFAULT_SECONDS = "60" if os.environ.get("CI", "").lower() in {"1", "true"} else "2"
SECONDS = float(os.environ.get("WIRE_FUZZ_SECONDS") or DEFAULT_SECONDS)
TABLES_SHARE = 0.2
SEED = int(os.environ.get("WIRE_FUZZ_SEED", "20260101"))
FRAME_MAX = 4096 * 4
MAX_BODY = 20_000
TEMPTING = (0, 1, 2, 3, 7, 8, 0x3C, 0x7F, 0x80, 0xCE, 0xFF, *b"SAFTDxV")


def frames(stream: bytes) -> list[bytes]:
    """Cut an intact stream into its frames."""
    found, at = [], 0
    while at < len(stream):
        end = at + 8 + int.from_bytes(stream[at + 3 : at + 7], "big")
        found.append(stream[at:end])
        at = end
    return found


FRAMES = [frames(capture) for capture in CAPTURES]
CAPTURE_OF_TYPES = next(place for place, capture in enumerate(CAPTURES) if b"m-\xff2" in capture)


def mutated(chance: random.Random) -> bytes:
    """Shuffle, drop, repeat or renumber whole frames of a recording, then damage a few of its bytes."""
    pieces = list(chance.choice(FRAMES))
    start = chance.randrange(len(pieces))
    pieces = pieces[start : start + chance.randint(1, 40)]
    for _ in range(chance.choice((0, 0, 1, 1, 3))):
        place, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        action = chance.randrange(4)
        if action == 0:
            pieces[place], pieces[other] = pieces[other], pieces[place]
        elif action == 1:
            pieces.insert(place, pieces[other])
        elif action == 2 and len(pieces) > 1:
            del pieces[place]
        else:
            pieces[place] = pieces[place][:2] + bytes([chance.randrange(4)]) + pieces[place][3:]
    stream = bytearray(b"".join(pieces))
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        place = chance.randrange(len(stream))
        action = chance.randrange(4)
        if action == 0:
            stream[place] = chance.choice(TEMPTING)
        elif action == 1:
            stream[place] ^= 1 << chance.randrange(8)
        elif action == 2:
            stream[place:place] = bytes(chance.choice(TEMPTING) for _ in range(chance.randint(1, 9)))
        else:
            del stream[place : place + chance.randint(1, 9)]
            stream = stream or bytearray(1)
    return bytes(stream)


def read_all(event: Event) -> None:
    """Read everything an event can be asked; only a message's own malformation may be told."""
    if isinstance(event, Confirm):
        assert event.tag > 0
        return
    assert len(event.body) <= MAX_BODY
    readers = [lambda: event.properties.headers.items(), lambda: event.exchange, lambda: event.routing_key]
    for read in readers:
        try:
            read()
        except MalformedProperties:
            continue


def feed(stream: bytes, sizes: list[int]) -> tuple[list[str], int, str | None]:
    """Feed pieces of the given sizes in turn; give the events, how many bytes passed, and the error."""
    assembler = Assembler(frame_max=FRAME_MAX, max_body_bytes=MAX_BODY)
    assembler.divert(1)
    assembler.divert(2)
    seen: list[str] = []
    passed = at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        turn += 1
        try:
            events, through = assembler.feed(stream[at : at + size])
        except WireError as error:
            return seen, passed, str(error)
        at += size
        for event in events:
            read_all(event)
            seen.append(repr(event))
        passed += len(through)
        assert assembler.held_bytes <= FRAME_MAX + 2 * MAX_BODY
    return seen, passed, None


def test_the_recordings_themselves_are_understood():
    """Without mutation there is no error, or the fuzzing would prove nothing."""
    for capture in CAPTURES:
        seen, _, error = feed(capture, [1000])
        assert error is None
        assert seen


def test_mutated_recordings_raise_only_named_errors():
    """However frames are damaged and cut, the outcome is events or a WireError, the same for every cut."""
    deadline = time.monotonic() + (1 - TABLES_SHARE) * SECONDS
    seed, broken = SEED, 0
    while time.monotonic() < deadline:
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        stream = mutated(chance)
        try:
            seen, passed, error = feed(stream, [len(stream)])
            slowly_seen, slowly_passed, slowly_error = feed(stream, [chance.randint(1, 40) for _ in range(5)])
            assert slowly_error == error
            if error is None:
                assert (slowly_seen, slowly_passed) == (seen, passed)
        except Exception as unexpected:  # noqa: BLE001 - whatever it is, the seed is what is needed
            pytest.fail(f"WIRE_FUZZ_SEED={seed} gives {unexpected!r}")
        broken += error is not None
        seed += 1
    assert broken > (seed - SEED) // 10, "the mutations hardly ever break anything"
    assert broken < seed - SEED, "the mutations leave nothing whole"


def test_mutated_header_tables_raise_only_named_errors():
    """A table of every type, damaged anywhere, is read or refused by name."""
    raw = next(frame for frame in FRAMES[CAPTURE_OF_TYPES] if b"m-\xff2" in frame)[7 + 12 + 2 :]
    table = raw[: 4 + int.from_bytes(raw[:4], "big")]
    assert len(decode_table(table)) > 17
    chance = random.Random(SEED)  # noqa: S311 - not for secrets
    deadline = time.monotonic() + TABLES_SHARE * SECONDS
    refused = whole = 0
    while time.monotonic() < deadline:
        damaged = bytearray(table)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(4, len(damaged))] = chance.choice(TEMPTING)
        try:
            decode_table(bytes(damaged))
        except MalformedProperties:
            refused += 1
        else:
            whole += 1
    assert refused > 0
    assert whole > 0
