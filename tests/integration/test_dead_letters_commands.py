"""``dead-letters list``, ``show``, ``export``, ``drop`` and ``publish --exported``, as a user types them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.support.bodies import payment, write_rules
from tests.support.command import run_command, wait_until
from tests.support.dead_letters import dead_headers
from tests.support.producer import CONTENT_TYPE_FLAG, RawProperties, pika_channel
from worker.local_broker import LocalBroker

Run = Callable[..., "tuple[int, str, str]"]
ODD = b"\xff\x00 not text"


@pytest.fixture
def run(broker: LocalBroker, prefix: str) -> Run:
    """Run a command against this test's part of the broker: exit code, stdout, stderr."""

    def run_one(*arguments: str) -> tuple[int, str, str]:
        done = run_command(*arguments, "--amqp-url", broker.url, "--prefix", prefix)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run_one


@pytest.fixture
def channel(broker: LocalBroker, prefix: str, run: Run, tmp_path: Path) -> Iterator[BlockingChannel]:
    """A producer's channel on a declared topology."""
    assert run("topology", "declare", "--rules", str(write_rules(tmp_path / "rules.yaml", prefix)))[0] == 0
    with pika_channel(broker.url) as opened:
        yield opened


def bury(
    channel: BlockingChannel, prefix: str, body: bytes, payment_id: str | None, code: str, **more: Any
) -> None:
    """Put a dead letter into the queue as the worker would."""
    own = more.pop("headers", {})
    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id=f"letter-{payment_id}",
        headers={**own, **dead_headers(payment_id, code, **more)}, app_id="shop",
    )  # fmt: skip
    channel.basic_publish(f"{prefix}.dead", code, body, properties, mandatory=True)


@pytest.fixture
def five(channel: BlockingChannel, prefix: str) -> list[bytes]:
    """Five dead letters, no two alike, the oldest first."""
    at_beta = '[{"attempt":1,"at":"2026-11-24T11:00:00Z","code":"unroutable","processor":"beta"}]'
    bodies = [
        payment("pay-1", "10.00"),
        payment("pay-2", "20.005"),
        payment("pay-3", "5", "JPY"),
        payment("pay-4", "0.50"),
        ODD,
    ]
    bury(channel, prefix, bodies[0], "pay-1", "no_route", DEAD_AT="2026-11-24T10:00:00.000Z")
    bury(channel, prefix, bodies[1], "pay-2", "no_route", headers={"tenant": "blue"})
    bury(channel, prefix, bodies[2], "pay-3", "retries_exhausted", ATTEMPTS=at_beta)
    bury(channel, prefix, bodies[3], "pay-4", "held", DEAD_AT="2026-11-24T14:00:00.000Z")
    bury(channel, prefix, bodies[4], None, "invalid_encoding")
    return bodies


def names(out: str) -> list[str]:
    return [(record := json.loads(line))["payment_id"] or record["letter_id"] for line in out.splitlines()]


def depth(channel: BlockingChannel, prefix: str, queue: str = "dead") -> int:
    return int(channel.queue_declare(f"{prefix}.{queue}", passive=True).method.message_count)


def test_filters_choose(run: Run, five: list[bytes]) -> None:
    """Each option reaches its filter, alone and with others; looking takes nothing."""
    for filters, found in (
        ((), ["pay-1", "pay-2", "pay-3", "pay-4", "letter-None"]),
        (("--code", "no_route", "--code", "held", "--limit", "2"), ["pay-1", "pay-2"]),
        (("--processor", "beta"), ["pay-3"]),
        (("--payment-id", "pay-2", "--payment-id", "letter-None"), ["pay-2", "letter-None"]),
        (("--currency", "eur", "--min-amount", "0.51", "--max-amount", "20.005"), ["pay-1", "pay-2"]),
        (("--since", "2026-11-24T12:00:00.001Z", "--until", "2026-11-24T16:00:00+02:00"), ["pay-4"]),
    ):
        code, out, err = run("dead-letters", "list", "--json", *filters)
        assert (code, err) == (0, "")
        assert names(out) == found


def test_totals_are_exact_by_code_and_currency(run: Run, five: list[bytes]) -> None:
    """As JSON, and as a table for people; a limit cuts rows, not sums."""
    record = json.loads(run("dead-letters", "list", "--totals", "--json")[1])
    rows = {(row["code"], row["currency"]): (row["dead_letters"], row["amount"]) for row in record["totals"]}
    assert record["looked_at"] == 5
    assert rows == {
        ("no_route", "EUR"): (2, "30.005"),
        ("retries_exhausted", "JPY"): (1, "5"),
        ("held", "EUR"): (1, "0.50"),
        ("invalid_encoding", None): (1, None),
    }
    out = run("dead-letters", "list", "--limit", "1")[1]
    assert "pay-1" in out
    assert "pay-2" not in out
    assert "30.505" in out
    assert "1 shown of 5 chosen of 5 dead letters" in out


def test_filter_that_cannot_be_is_refused(run: Run) -> None:
    """By its option, with what was expected, before any broker is asked."""
    code, out, err = run("dead-letters", "list", "--since", "soon")
    assert (code, out) == (2, "")
    assert err.startswith("error: --since 'soon': expected a time with its offset")


def test_code_with_a_typo_is_told(run: Run, five: list[bytes]) -> None:
    """An empty result says how many there are, and the nearest code."""
    code, out, _ = run("dead-letters", "list", "--code", "no_rout")
    assert code == 0
    said = "none of the 5 dead letters passes the filters; none has the code no_rout, did you mean no_route?"
    assert out == said + "\n"


def test_show_has_everything_and_a_next_step(run: Run, five: list[bytes]) -> None:
    """For people; the producer's header is among it."""
    code, out, _ = run("dead-letters", "show", "pay-2")
    assert code == 0
    for text in (
        "no_route",
        "20.005 EUR",
        "card.eur",
        "tenant",
        "blue",
        '"payment_id": "pay-2"',
        "rules explain",
    ):
        assert text in out


def test_show_raw_is_the_body_byte_for_byte(
    run: Run, five: list[bytes], broker: LocalBroker, prefix: str, channel: BlockingChannel
) -> None:
    """Bytes that are no text come out as they are; with several letters one must be named."""
    options = ("--raw", "--amqp-url", broker.url, "--prefix", prefix)
    command = [sys.executable, "-m", "worker", "dead-letters", "show", "letter-None", *options]
    assert subprocess.run(command, capture_output=True, check=True, timeout=60).stdout == ODD
    bury(channel, prefix, b"{}", "pay-1", "held")
    code, out, err = run("dead-letters", "show", "pay-1", "--raw")
    assert (code, out) == (1, "")
    assert "2 dead letters are of pay-1" in err


def test_show_of_nothing_says_so(run: Run, five: list[bytes]) -> None:
    """An id that no letter has is an error."""
    assert run("dead-letters", "show", "pay-9") == (
        1, "", "error: none of the 5 dead letters has the id pay-9\n"
    )  # fmt: skip


def test_what_was_dropped_can_be_published_again_as_it_was(
    run: Run, five: list[bytes], channel: BlockingChannel, prefix: str, tmp_path: Path
) -> None:
    """Drop needs a filter, a yes, a reason and a file; the file sends bodies, headers and history back."""
    file, audit = tmp_path / "dropped.ndjson", tmp_path / "audit.ndjson"
    for wrong, said in (
        ((), "name a filter, or --all"),
        (("--all", "--code", "held"), "contradict"),
        (("--all", "--yes"), "--reason TEXT"),
        (("--all", "--yes", "--reason", " ", "--export", str(file)), "--reason TEXT"),
    ):
        code, _, err = run("dead-letters", "drop", *wrong)
        assert (code, said in err) == (2, True), err
    assert "dry run: 5 of 5 dead letters would be dropped" in run("dead-letters", "drop", "--all")[1]
    assert depth(channel, prefix) == 5
    assert not file.exists()

    chosen = ("--code", "no_route", "--code", "invalid_encoding", "--audit", str(audit))
    done = ("--yes", "--reason", "of a test", "--export", str(file), "--json")
    code, out, err = run("dead-letters", "drop", *chosen, *done)
    assert (code, err) == (0, "")
    assert sum(row["dead_letters"] for row in json.loads(out)["done"]) == 3
    assert depth(channel, prefix) == 2
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["action"], line["reason"], line["exported_to"]) for line in lines] == [
        ("drop", "of a test", str(file))
    ] * 3
    assert [line["payment_id"] for line in lines] == ["pay-1", "pay-2", None]
    assert run("dead-letters", "drop", *chosen, *done)[0] == 2  # the file is there: nothing is written over

    code, out, err = run("publish", "--exported", str(file))
    assert (code, out.split()[0]) == (0, "3"), err
    taken = [channel.basic_get(f"{prefix}.incoming", auto_ack=True) for _ in range(3)]
    assert [body for _, _, body in taken] == [five[0], five[1], five[4]]
    assert {method.exchange for method, _, _ in taken} == {f"{prefix}.return"}
    assert {properties.headers["payment-redrives"] for _, properties, _ in taken} == {1}
    assert {properties.headers["payment-routing-key"] for _, properties, _ in taken} == {"card.eur"}
    tenants = [(properties.headers or {}).get("tenant") for _, properties, _ in taken]
    assert tenants == [None, "blue", None]
    assert {properties.app_id for _, properties, _ in taken} == {"shop"}


def test_a_file_is_no_way_round_the_bound_on_redrives(
    run: Run, channel: BlockingChannel, prefix: str, tmp_path: Path
) -> None:
    """Dropped to a file and published from it, a letter counts its redrives on, and is refused in the end."""
    properties: Any = pika.BasicProperties(headers={"payment-redrives": 2, "payment-attempt": 1})
    for number in (3, 4):
        channel.basic_publish(f"{prefix}.dead", "no_route", payment(), properties, mandatory=True)
        file = tmp_path / f"{number}.ndjson"
        done = ("--yes", "--reason", "of a test", "--export", str(file), "--audit", str(tmp_path / "audit"))
        assert run("dead-letters", "drop", "--all", *done)[0] == 0
        code, _, err = run("publish", "--exported", str(file))
        if number == 3:
            assert code == 0, err
            _, properties, _ = channel.basic_get(f"{prefix}.incoming", auto_ack=True)
            assert properties.headers["payment-redrives"] == 3
    assert code == 2
    assert "line 1 was redriven 3 times already, and --max-redrives is 3; nothing was sent" in err
    assert depth(channel, prefix, "incoming") == 0
    assert run("publish", "--exported", str(file), "--max-redrives", "4")[0] == 0


def test_export_loses_nothing_and_takes_nothing(
    run: Run, five: list[bytes], channel: BlockingChannel, prefix: str, tmp_path: Path
) -> None:
    """Filters hold, a file is never written over, and unreadable properties are kept as bytes."""
    broken = RawProperties(CONTENT_TYPE_FLAG, b"\x01\xff")  # text that is not UTF-8
    channel.basic_publish("", f"{prefix}.dead", b"broken", broken, mandatory=True)
    file = tmp_path / "all.ndjson"
    code, out, _ = run("dead-letters", "export", str(file), "--json")
    assert (code, json.loads(out)["looked_at"]) == (0, 6)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 6
    assert (lines[5]["body"], lines[5]["raw_properties_base64"]) == ("broken", "gAAB/w==")
    assert run("dead-letters", "export", str(file))[0] == 2
    out = run("dead-letters", "export", "-", "--payment-id", "pay-3")[1]
    assert json.loads(out) == lines[2] | {"headers": json.loads(out)["headers"]}
    wait_until(lambda: depth(channel, prefix) == 6, "all back")


def test_file_that_is_no_export_sends_nothing(
    run: Run, channel: BlockingChannel, prefix: str, tmp_path: Path
) -> None:
    """The line is named, and those before it were not sent either."""
    file = tmp_path / "mixed.ndjson"
    good = {"format": "payment-stream-worker/dead-letter/1", "exchange": "", "routing_key": "", "body": "{}"}
    file.write_bytes(json.dumps(good).encode() + b"\n" + payment() + b"\n")
    code, out, err = run("publish", "--exported", str(file))
    assert (code, out) == (2, "")
    assert "line 2 is no exported dead letter" in err
    assert depth(channel, prefix, "incoming") == 0


def test_letters_of_anybody_do_no_harm(run: Run, channel: BlockingChannel, prefix: str) -> None:
    """What another program put into the queue is listed, shown, redriven and dropped like any other."""
    hostile = pika.BasicProperties(
        headers={"payment-id": "\x1b[31m", "payment-error-code": 7}, message_id="x"
    )
    channel.basic_publish(f"{prefix}.dead", "any", b"\x1b]0;title\x07", hostile, mandatory=True)
    for command in (("list",), ("list", "--json"), ("show", "x"), ("show", "x", "--json"), ("redrive",)):
        code, out, _ = run("dead-letters", *command)
        assert code == 0
        assert "\x1b" not in out
    assert run("dead-letters", "redrive", "--yes")[0] == 0
    assert (depth(channel, prefix), depth(channel, prefix, "incoming")) == (0, 1)
