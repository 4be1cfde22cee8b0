"""Redrive and drop: in which order, and what stays."""

import io
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas import dead_letter as names
from tests.support.dead_letters import FakeBrowser, dead_letter
from worker.amqp.lane import CONFIRMED, Properties, Refused, Unknown
from worker.dead_letters.actions import DIED_SINCE, DISPATCHED, UNWRITABLE, Drop, NoRecord, Redrive
from worker.dead_letters.audit import Audit, Lines
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.walk import Report
from worker.envelope import Envelopes
from worker.errors import BrokerUnavailable, ConfigurationError, PublishRefused

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Stream(io.BytesIO):
    """An audit in memory that notes its writes among what is done to the queue; it may be full."""

    name = "audit"

    def __init__(self, log: list[str], word: str = "audit") -> None:
        super().__init__()
        self.log, self.word, self.full = log, word, False

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        self.log.append(f"{self.word} {data.count(bytes([10]))}")
        return super().write(data)

    @property
    def values(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


class Record:
    """Remembers that some payments were dispatched."""

    def __init__(self, *ids: str) -> None:
        self.ids, self.asked = ids, list[set[str]]()

    async def already_dispatched(self, payment_ids: Any) -> Any:
        self.asked.append(set(payment_ids))
        return self.ids


def redrive(lane: FakeBrowser, record: Any = None, max_redrives: int = 3) -> tuple[Redrive, Stream]:
    stream, numbers = Stream(lane.log), itertools.count(1)
    return (
        Redrive(
            Envelopes(lambda: f"new-{next(numbers)}", "payments.dead", "payments.incoming"),
            "payments.return",
            record or NoRecord(),
            max_redrives,
            Audit(Lines(stream, on_disk=False), "redrive", "payments.dead", {}, "ann@host"),
            NOON + timedelta(hours=1),
            lambda: NOON + timedelta(hours=2),
        ),
        stream,
    )


def letters(count: int) -> list[DeadLetter]:
    return [dead_letter(payment_id=f"pay-{tag}", tag=tag) for tag in range(1, count + 1)]


async def test_letter_leaves_after_its_confirm_and_its_audit_line() -> None:
    """Killed between any two of the three, the letter is still in its queue."""
    lane, report = FakeBrowser([]), Report()
    action, stream = redrive(lane)
    await action.act(lane, letters(3), report)
    assert lane.log == ["send 3", "audit 3", "remove 3"]
    assert lane.removed == [1, 2, 3]
    assert report.done.letters == 3
    assert [(one.exchange, one.routing_key) for one in lane.sent] == [
        ("payments.return", "payments.incoming")
    ] * 3
    assert stream.values[0] == {
        "action": "redrive",
        "queue": "payments.dead",
        "payment_id": "pay-1",
        "letter_id": "letter-1",
        "code": "no_route",
        "dead_at": "2026-11-24T12:00:00.000Z",
        "attempts": 1,
        "redrives": 0,
        "amount": {"value": "10.00", "currency": "EUR"},
        "at": "2026-11-24T14:00:00.000Z",
        "by": "ann@host",
    }


async def test_refusal_ends_it_after_what_was_confirmed_is_removed() -> None:
    """A full queue of work takes no more: those it took leave, the rest stay."""
    lane, report = (
        FakeBrowser([], outcomes=[CONFIRMED, Refused("publish_refused", "nack"), CONFIRMED]),
        Report(),
    )
    action, stream = redrive(lane)
    with pytest.raises(PublishRefused, match=r"payments\.incoming takes nothing more: nack"):
        await action.act(lane, letters(3), report)
    assert lane.removed == [1, 3]
    assert [line["payment_id"] for line in stream.values] == ["pay-1", "pay-3"]
    assert report.done.letters == 2


async def test_unknown_outcome_stays() -> None:
    """Where nobody knows whether it was sent, the letter is kept: rather twice than never."""
    lane, report = FakeBrowser([], outcomes=[CONFIRMED, Unknown("the channel closed")]), Report()
    action, stream = redrive(lane)
    with pytest.raises(BrokerUnavailable, match="the channel closed; 1 dead letters stay"):
        await action.act(lane, letters(2), report)
    assert (lane.removed, len(stream.values)) == ([1], 1)


async def test_letter_that_cannot_be_written_stays_alone() -> None:
    """One whose headers fit no frame keeps no other from going."""
    lane, report = FakeBrowser([], outcomes=[Refused("malformed_properties", "too long")]), Report()
    action, _ = redrive(lane)
    await action.act(lane, letters(2), report)
    assert lane.removed == [2]
    assert report.left[UNWRITABLE].letters == 1


async def test_nothing_leaves_when_its_audit_line_cannot_be_written() -> None:
    """With a full disk the letters stay, although they were sent: rather twice than unaccounted for."""
    lane, report = FakeBrowser([]), Report()
    action, stream = redrive(lane)
    stream.full = True
    with pytest.raises(ConfigurationError, match="cannot write to audit: No space left"):
        await action.act(lane, letters(2), report)
    assert (lane.removed, report.done.letters) == ([], 0)


async def test_reasons_to_stay() -> None:
    """What was dispatched, was redriven often enough, or died since the command began, stays."""
    chosen = [
        dead_letter(payment_id="dispatched"),
        dead_letter(payment_id="often", REDRIVES=2),
        dead_letter(payment_id="once", REDRIVES=1),
        dead_letter(payment_id="again", DEAD_AT="2026-11-24T13:00:00.001Z"),
        dead_letter(payment_id=None),
    ]
    record = Record("dispatched")
    action, _ = redrive(FakeBrowser([]), record, max_redrives=2)
    assert await action.reasons_to_stay(chosen) == [
        DISPATCHED,
        "redriven 2 times already",
        None,
        DIED_SINCE,
        None,
    ]
    assert record.asked == [{"dispatched", "often", "once", "again"}]


async def test_redriven_payment_starts_afresh_with_its_history() -> None:
    """Attempt 1 again and one redrive more; what the producer wrote and what happened before is kept."""
    attempts = '[{"attempt":1,"at":"2026-11-24T11:00:00Z","code":"unroutable","processor":"alpha"}]'
    letter = dead_letter(
        ATTEMPTS=attempts, ATTEMPT=7, REDRIVES=1, MESSAGE_ID="m-1", EXPIRATION="500", PINNED=True
    )
    lane = FakeBrowser([])
    await redrive(lane)[0].act(lane, [letter], Report())
    [sent] = lane.sent
    assert isinstance(sent.properties, Properties)
    headers = sent.properties.headers
    assert sent.body == letter.delivery.body
    assert (sent.properties.message_id, sent.properties.expiration) == ("new-1", None)
    assert json.loads(headers[names.ATTEMPTS]) == json.loads(attempts)
    assert {name: headers[name] for name in headers if name != names.ATTEMPTS} == {
        names.ATTEMPT: 1,
        names.REDRIVES: 2,
        names.FIRST_SEEN: "2026-11-24T12:00:00.000Z",
        names.EXCHANGE: "payments",
        names.ROUTING_KEY: "card.eur",
        names.MESSAGE_ID: "m-1",
        names.EXPIRATION: "500",
        names.PINNED: True,
        names.TRACEPARENT: letter.properties.headers[names.TRACEPARENT],
    }


async def test_dropped_letter_is_in_the_file_and_in_the_audit_before_it_leaves() -> None:
    """Killed between any two of the three, the letter is still in its queue."""
    lane, report = FakeBrowser([]), Report()
    export, audit = Stream(lane.log, "export"), Stream(lane.log)
    more = {"reason": "a test"}
    action = Drop(
        Lines(export, on_disk=False),
        Audit(Lines(audit, on_disk=False), "drop", "q", more, "ann"),
        lambda: NOON,
    )
    assert await action.reasons_to_stay(letters(2)) == [None, None]
    await action.act(lane, letters(2), report)
    assert lane.log == ["export 2", "audit 2", "remove 2"]
    assert [line["body"] for line in export.values] == ['{"amount":{"value":"10.00","currency":"EUR"}}'] * 2
    assert [line["reason"] for line in audit.values] == ["a test"] * 2


async def test_nothing_is_dropped_that_could_not_be_exported() -> None:
    """A full disk stops it before anything is lost."""
    lane = FakeBrowser([])
    export, audit = Stream(lane.log, "export"), Stream(lane.log)
    export.full = True
    action = Drop(Lines(export, on_disk=False), Audit(Lines(audit, on_disk=False), "drop", "q"), lambda: NOON)
    with pytest.raises(ConfigurationError, match="cannot write"):
        await action.act(lane, letters(2), Report())
    assert lane.log == []


def test_audit_adds_to_a_file_and_mends_a_torn_line(tmp_path: Path) -> None:
    """What a killed run left unfinished stays a line of its own, and nothing before it is touched."""
    file = tmp_path / "audit.ndjson"
    for tag in (1, 2):
        lines = Lines.append(file)
        Audit(lines, "redrive", "q").write([dead_letter(tag=tag)], NOON)
        lines.close()
        with file.open("ab") as torn:
            torn.write(b'{"torn":')
    found = file.read_bytes().split(b"\n")
    assert [json.loads(found[place])["letter_id"] for place in (0, 2)] == ["letter-1", "letter-2"]
    assert found[1] == found[3] == b'{"torn":'
    assert file.stat().st_mode & 0o777 == 0o600


def test_new_file_is_private_and_never_written_over(tmp_path: Path) -> None:
    """An export holds payments: only its owner may read it, and an older one is kept."""
    file = tmp_path / "export.ndjson"
    Lines.new(file).close()
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError, match=r"export.ndjson exists already"):
        Lines.new(file)


@pytest.mark.parametrize("opening", [Lines.new, Lines.append])
def test_file_that_cannot_be_written_is_named(tmp_path: Path, opening: Any) -> None:
    """The path and the reason are said before anything is done."""
    with pytest.raises(ConfigurationError, match=r"nowhere/file: No such file"):
        opening(tmp_path / "nowhere" / "file")
