"""``payment``, ``audit``, ``reconcile`` and ``stats`` after a day of real work, as an operator types them."""

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.support.bodies import payment, write_rules
from tests.support.books import PERSISTENT
from tests.support.command import run_command, running_worker, wait_until
from tests.support.producer import pika_channel
from worker.local_broker import LocalBroker

RULES = """\
version: 1
processors:
  alpha: {{exchange: "{prefix}.proc.alpha"}}
  gamma: {{exchange: "{prefix}.proc.gamma"}}
fees:
  standard: {{components: [{{name: processing, percent: "2.5"}}]}}
  carried: {{rounding: carry, components: [{{name: processing, percent: "2.5"}}]}}
rules:
  - {{name: cards, when: {{type: card}}, route: {{to: alpha, fees: standard}}}}
  - {{name: micro, when: {{type: wallet}}, route: {{to: alpha, fees: carried}}}}
  - {{name: vouchers, when: {{type: voucher}}, route: {{to: gamma}}}}
default:
  reject: {{code: no_route, reason: no rule covers this payment}}
"""
"""Nothing is bound to gamma's exchange."""
CARDS = 30
MICRO = 9


@dataclass(slots=True)
class Day:
    """What is left of a day's work: a journal, and the queues under a prefix."""

    url: str
    prefix: str
    folder: Path
    rules: Path
    channel: BlockingChannel
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, code: int = 0, stdin: bytes = b"", journal: str | None = None) -> str:
        """Run a command on the day's journal; return what it said."""
        setting = {} if journal is None else {"PAYMENT_WORKER_JOURNAL": journal}
        done = run_command(*arguments, env={**self.env, **setting}, stdin=stdin)
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code in (0, 3) else done.stderr

    def json(self, *arguments: str, **more: Any) -> Any:
        return json.loads(self.run(*arguments, "--json", **more))

    def depth(self, queue: str) -> int:
        name = f"{self.prefix}.{queue}"
        return int(self.channel.queue_declare(name, passive=True).method.message_count)

    def publish(self, *bodies: bytes) -> None:
        for body in bodies:
            self.channel.basic_publish(self.prefix, "card.eur", body, PERSISTENT, mandatory=True)

    def dispatches(self) -> list[dict[str, Any]]:
        """What lies in alpha's inbox, which stays there."""
        found = []
        for method, _, body in self.channel.consume(f"{self.prefix}.proc.alpha.inbox", inactivity_timeout=1):
            if method is None:
                break
            found.append(json.loads(body))
        self.channel.cancel()
        return found


@pytest.fixture(scope="module")
def day(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Cards, some repeated, micro payments, a delayed voucher, one without a route, and no payment."""
    prefix, folder = f"day-{uuid4().hex[:8]}", tmp_path_factory.mktemp("day")
    env = {
        "PAYMENT_WORKER_AMQP_URL": broker.url,
        "PAYMENT_WORKER_PREFIX": prefix,
        "PAYMENT_WORKER_RULES": str(write_rules(folder / "rules.yaml", prefix, RULES)),
        "PAYMENT_WORKER_JOURNAL": f"sqlite:///{folder / 'journal.db'}",
        "PAYMENT_WORKER_DELAY_STEPS": "1h",
        "PAYMENT_WORKER_RETRY_IN_PROCESS": "100ms",
    }
    with pika_channel(broker.url) as channel:
        done = Day(broker.url, prefix, folder, folder / "rules.yaml", channel, env)
        done.run("topology", "declare")
        channel.queue_unbind(f"{prefix}.proc.gamma.inbox", f"{prefix}.proc.gamma", "#")
        cards = [payment(f"card-{number:03}", f"{10 + number}.99") for number in range(CARDS)]
        micro = [payment(f"micro-{number}", "0.10", type="wallet") for number in range(MICRO)]
        others = [payment("voucher-1", type="voucher"), payment("nowhere", type="bank_transfer"), b"{"]
        with running_worker(folder / "worker.log", "--topology", "verify", env=env) as worker:
            worker.wait_for_sessions(1)
            done.publish(*cards, *micro, *others, *cards[:3])
            wait_until(lambda: done.depth("proc.alpha.inbox") == CARDS + MICRO, "all dispatches")
            wait_until(
                lambda: (done.depth("delay.1h"), done.depth("dead")) == (1, 2), "what could not be sent"
            )
            wait_until(lambda: done.depth("incoming") == 0, "the repeats")
            assert worker.terminate()[0] == 0
        yield done


def test_the_story_of_a_dispatched_payment(day: Day) -> None:
    """By its own id or its dispatch's: where it is, what it cost, how that was rounded, who had it when."""
    told = day.run("payment", "card-001")
    for words in (
        "card-001 dispatched",
        f"at alpha: its exchange {day.prefix}.proc.alpha confirmed it 20",
        "cards, of rules version",
        "gross 11.99 EUR = fees 0.30 + net 11.69",
        "processing: 0.29975 -> 0.30 (half_even, remainder -0.00025)",
        "1, acknowledged and not sent",
    ):
        assert words in told
    story = day.json("payment", "card-001")
    assert [entry["happening"] for entry in story["history"]] == ["dispatched", "duplicate"]
    assert (story["state"], story["gross"], story["fees"], story["net"]) == (
        "dispatched", "11.99", "0.30", "11.69",
    )  # fmt: skip
    assert day.json("payment", story["dispatch_id"]) == story


def test_remainders_in_a_story(day: Day) -> None:
    """A micro payment's fee of a quarter of a cent, rounded with what others had left."""
    stories = [day.json("payment", f"micro-{number}") for number in range(4)]
    assert sum(Fraction(story["fees"]) for story in stories) == Fraction("0.01")
    assert {story["roundings"][0]["mode"] for story in stories} == {"carry"}
    assert {story["roundings"][0]["exact"] for story in stories} == {"0.0025"}


def test_the_stories_of_others(day: Day) -> None:
    """Delayed, dead-lettered, and unknown: each with what to do next."""
    delayed = day.run("payment", "voucher-1")
    assert "in a delay queue since" in delayed
    assert "(unroutable); it comes back as attempt 2" in delayed
    dead = day.run("payment", "nowhere")
    assert "(no_route); payment-worker dead-letters show nowhere" in dead
    assert "did you mean card-012?" in day.run("payment", "card-12", code=1)
    assert "knows no payment" in day.run("payment", "0" * 32, code=1)


def test_the_audit_balances(day: Day) -> None:
    """Every message is somewhere, in count and in money, remainders and the broker's queues included."""
    told = day.run("audit", "--broker")
    assert "Every payment is somewhere, once, and the money adds up." in told
    found = day.json("audit", "--broker")
    euros = found["currencies"]["EUR"]
    counts = {place: euros[place]["count"] for place in ("received", "dispatched", "delayed", "duplicates")}
    assert counts == {
        "received": CARDS + MICRO + 2 + 3, "dispatched": CARDS + MICRO, "delayed": 1, "duplicates": 3,
    }  # fmt: skip
    assert (found["payments"], found["no_payment"], found["fits"]) == (CARDS + MICRO + 2, 1, True)
    assert Fraction(euros["gross"]) == Fraction(euros["fees"]) + Fraction(euros["net"])
    remainders = found["remainders"]["EUR"]
    assert (remainders["exact"], remainders["charged"], remainders["carried_on"]) == (
        "0.0225",
        "0.02",
        "0.0025",
    )
    assert [(one["place"], one["journal"], one["broker"]) for one in found["broker"]] == [
        ("delayed", 1, 1), ("dead_lettered", 2, 2), ("in_flight", 0, 0),
    ]  # fmt: skip
    assert day.json("audit", "--quick")["currencies"] == found["currencies"]


@pytest.mark.parametrize(
    ("statement", "name", "problem"),
    [
        (
            "UPDATE payments SET state = 2 WHERE payment_id = 'card-005'",
            "card-005",
            "is delayed, but its history",
        ),
        ("UPDATE payments SET net = net - 1 WHERE payment_id = 'card-006'", "card-006", "but net"),
        ("DELETE FROM history WHERE payment = 8", "card-007", "its history is empty"),
        ("UPDATE bodies SET bytes = zeroblob(length(bytes))", "card-000", "is no dispatch"),
        (
            "UPDATE carries SET remainder = '1/8'",
            "studio-aurora/carried/processing/EUR",
            "its remainder is 1/8",
        ),
        ("UPDATE payments SET way = 999 WHERE id = 10", "(journal)", "of which 40 can be read"),
        (
            "UPDATE payments SET payment_id = 'card-009' WHERE id = 9",
            "card-009",
            "is not what the journal finds",
        ),
    ],
)
def test_what_somebody_has_changed_is_named(
    day: Day, tmp_path: Path, statement: str, name: str, problem: str
) -> None:
    """The exit code is 3, and the payment or the remainder is there with what is wrong."""
    copy = tmp_path / "journal.db"
    shutil.copy(day.folder / "journal.db", copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(statement)
    found = json.loads(day.run("audit", "--json", code=3, journal=f"sqlite:///{copy}"))
    assert any(name == one["name"] and problem in one["problem"] for one in found["misfits"]), found[
        "misfits"
    ]


def test_an_audit_beside_working_workers(day: Day, tmp_path: Path, broker: LocalBroker) -> None:
    """Whatever moves meanwhile is no misfit: neither in the journal nor against the queues."""
    prefix = f"busy-{uuid4().hex[:8]}"
    env = {
        **day.env,
        "PAYMENT_WORKER_PREFIX": prefix,
        "PAYMENT_WORKER_RULES": str(write_rules(tmp_path / "rules.yaml", prefix, RULES)),
        "PAYMENT_WORKER_JOURNAL": f"sqlite:///{tmp_path / 'journal.db'}",
    }
    busy = Day(broker.url, prefix, tmp_path, tmp_path / "rules.yaml", day.channel, env)
    busy.run("topology", "declare")
    day.channel.queue_unbind(f"{prefix}.proc.gamma.inbox", f"{prefix}.proc.gamma", "#")
    kinds = ("card", "wallet", "voucher", "other")
    bodies = [payment(f"p-{number}", type=kinds[number % 4]) for number in range(1500)]
    counts = []
    options = ("--processes", "2", "--topology", "verify")
    with running_worker(tmp_path / "worker.log", *options, env=env) as worker:
        worker.wait_for_sessions(2)
        for first in range(0, len(bodies), 500):
            busy.publish(*bodies[first : first + 500])
            counts.append(busy.json("audit", "--broker")["payments"])
        assert worker.terminate()[0] == 0
    assert 0 < counts[0] < counts[-1]
    found = busy.json("audit", "--broker")
    assert found["fits"]
    waiting = busy.depth("incoming")
    assert found["payments"] + waiting == len(bodies)


def test_dead_letters_that_are_gone_are_named(day: Day, tmp_path: Path, broker: LocalBroker) -> None:
    """Unless ``dead-letters drop`` has written that they were dropped."""
    prefix = f"gone-{uuid4().hex[:8]}"
    env = {
        **day.env,
        "PAYMENT_WORKER_PREFIX": prefix,
        "PAYMENT_WORKER_RULES": str(write_rules(tmp_path / "rules.yaml", prefix, RULES)),
        "PAYMENT_WORKER_JOURNAL": f"sqlite:///{tmp_path / 'journal.db'}",
    }
    gone = Day(broker.url, prefix, tmp_path, tmp_path / "rules.yaml", day.channel, env)
    gone.run("topology", "declare")
    with running_worker(tmp_path / "worker.log", env=env) as worker:
        worker.wait_for_sessions(1)
        gone.publish(*(payment(f"dead-{number}", type="bank_transfer") for number in range(3)))
        wait_until(lambda: gone.depth("dead") == 3, "three dead letters")
        assert worker.terminate()[0] == 0
    assert gone.json("audit", "--broker")["fits"]
    audited = tmp_path / "dropped.ndjson"
    gone.run(
        "dead-letters", "drop", "--payment-id", "dead-1", "--yes", "--reason", "test",
        "--export", str(tmp_path / "export.ndjson"), "--audit", str(audited),
    )  # fmt: skip
    found = json.loads(gone.run("audit", "--broker", "--json", code=3))
    assert [(one["name"], "not among the dead letters" in one["problem"]) for one in found["misfits"]] == [
        ("dead-1", True)
    ]
    assert gone.json("audit", "--broker", "--dropped", str(audited))["fits"]
    day.channel.queue_purge(f"{prefix}.dead")
    found = json.loads(gone.run("audit", "--broker", "--json", "--dropped", str(audited), code=3))
    assert [one["name"] for one in found["misfits"]] == ["dead-0", "dead-2"]
    for _ in range(5):
        day.channel.basic_publish("", f"{prefix}.dead", b"a stranger's", PERSISTENT)
    told = gone.run("audit", "--broker", code=3)
    assert "letters that the journal does not know" in told
    assert "NOT balance" in told


def test_reconciling(day: Day, tmp_path: Path) -> None:
    """A file of what alpha received matches; what is changed, left out, added or repeated does not."""
    received = [(one["payment_id"], one["gross"]["value"]) for one in day.dispatches()]
    lines = [f"{name},{value},EUR" for name, value in received]
    header = "payment_id,amount,currency"
    settled = tmp_path / "alpha.csv"
    settled.write_text("\n".join([header, *lines]))
    told = day.run("reconcile", str(settled), "--processor", "alpha")
    assert f"All {CARDS + MICRO} lines match the journal" in told
    changed = [*lines[1:-1], f"{received[-1][0]},1.00,EUR", lines[3], "stranger,5.00,EUR", "card-001;1;EUR"]
    found = [
        json.loads(line)
        for line in day.run(
            "reconcile", "-", "--processor", "alpha", "--json", code=3,
            stdin="\n".join([header, *changed]).encode(),
        ).splitlines()
    ]  # fmt: skip
    assert [one["verdict"] for one in found[:-1]] == [
        "different_amount", "repeated", "missing_here", "unreadable", "missing_there",
    ]  # fmt: skip
    assert found[-2]["payment_id"] == received[0][0]
    assert found[-1]["matches"] is False
    late = day.run("reconcile", str(settled), "--processor", "alpha", "--since", "2099-01-01T00:00:00Z")
    assert "nothing is missing" in late


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--processor", "alpa"), "did you mean alpha?"),
        (("--processor", "alpha", "--column", "id=Reference"), "expected FIELD=NAME"),
        (("--processor", "alpha", "--column", "amount=Sum"), "the file has no column Sum"),
        (("--processor", "alpha", "--since", "yesterday"), "--since 'yesterday'"),
        (("--processor", "alpha", "--since", "1h", "--until", "2h"), "nothing lies between them"),
        (("nothing.csv", "--processor", "alpha"), "nothing.csv: cannot be read"),
    ],
)
def test_reconciling_what_cannot_be(day: Day, arguments: tuple[str, ...], problem: str) -> None:
    """Refused with exit code 2 and the way out."""
    if arguments[0].startswith("--"):
        arguments = ("-", *arguments)
    assert problem in day.run("reconcile", *arguments, code=2, stdin=b"payment_id,amount,currency\n")


def test_statistics(day: Day) -> None:
    """Counts and amounts by what was asked for."""
    rows = day.json("stats")["rows"]
    (alpha,) = [row for row in rows if row["processor"] == "alpha"]
    assert (alpha["counts"]["dispatched"], alpha["counts"]["duplicate"]) == (CARDS + MICRO, 3)
    assert Fraction(alpha["gross"]) == sum(Fraction(f"{10 + one}.99") for one in range(CARDS)) + Fraction(
        "0.9"
    )
    codes = {row["code"]: row["counts"] for row in day.json("stats", "--by", "code")["rows"]}
    assert codes["unroutable"]["delayed"] == 1
    assert codes["no_route"]["dead_lettered"] == 1
    assert codes["malformed_message"]["dead_lettered"] == 1
    assert "nothing happened in that time" in day.run("stats", "--since", "2099-01-01T00:00:00Z")
    assert "micro" in day.run("stats", "--by", "rule", "--by", "hour")


@pytest.mark.parametrize("name", ["", " "])
def test_the_story_of_nobody(day: Day, name: str) -> None:
    """An empty id is nobody's, messages without one included."""
    assert "ID is empty" in day.run("payment", name, code=2)


@pytest.mark.parametrize("command", [("payment", "p"), ("audit",), ("stats",)])
def test_without_a_journal(day: Day, command: tuple[str, ...], tmp_path: Path) -> None:
    """There is none, there is none there, or it is none: each is said, with exit code 2."""
    assert "no journal is kept" in day.run(*command, code=2, journal="none")
    missing = day.run(*command, code=2, journal=f"sqlite:///{tmp_path / 'journal.db'}")
    assert "there is no journal at" in missing
    assert "--journal" in missing
    (tmp_path / "empty.db").touch()
    assert "journal migrate" in day.run(*command, code=2, journal=f"sqlite:///{tmp_path / 'empty.db'}")
