"""Redrive and drop are killed at random, and interrupted: every dead letter is still somewhere."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.faults.conftest import Scale
from tests.support.bodies import payment, write_rules
from tests.support.command import environment, run_command, wait_until
from tests.support.dead_letters import dead_headers
from tests.support.producer import pika_channel
from worker.local_broker import LocalBroker

LETTERS = 300
INTERRUPTED = (130, -signal.SIGINT)
"""Exit codes of Ctrl-C: ours, and Python's own where it hits while modules are being loaded."""


class Yard:
    """Dead letters of one test, and the command that is let loose on them."""

    def __init__(self, broker: LocalBroker, prefix: str, folder: Path, channel: BlockingChannel) -> None:
        self.options = ("--amqp-url", broker.url, "--prefix", prefix)
        self.prefix, self.folder, self.channel = prefix, folder, channel
        self.audit = folder / "audit.ndjson"
        self.bodies = [payment(f"pay-{number}") for number in range(LETTERS)]
        for number, body in enumerate(self.bodies):
            headers = dead_headers(f"pay-{number}")
            properties = pika.BasicProperties(delivery_mode=2, headers=headers, message_id=f"letter-{number}")
            channel.basic_publish(f"{prefix}.dead", "no_route", body, properties, mandatory=True)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "worker", "dead-letters", *arguments, *self.options]
        return subprocess.Popen(
            [*command, "--audit", str(self.audit)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wait_for_an_act(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait until it has begun to act, or is at its end."""
        before = self.audit.stat().st_size if self.audit.exists() else 0
        wait_until(
            lambda: (
                process.poll() is not None or (self.audit.exists() and self.audit.stat().st_size > before)
            ),
            "an audit line",
        )

    def depth(self, queue: str) -> int:
        declared = self.channel.queue_declare(f"{self.prefix}.{queue}", passive=True)
        return int(declared.method.message_count)

    def empty(self, queue: str) -> Counter[bytes]:
        """Take everything from a queue."""
        bodies: Counter[bytes] = Counter()
        while (taken := self.channel.basic_get(f"{self.prefix}.{queue}", auto_ack=True))[0] is not None:
            bodies[taken[2]] += 1
        return bodies

    def audited(self) -> set[str]:
        """The letters that the audit knows; a line that a kill cut off counts for none."""
        letters = set()
        for line in self.audit.read_bytes().splitlines():
            try:
                letters.add(json.loads(line)["letter_id"])
            except json.JSONDecodeError:
                continue
        return letters


@pytest.fixture
def yard(broker: LocalBroker, prefix: str, tmp_path: Path) -> Iterator[Yard]:
    """Letters in the dead-letter queue of a declared topology."""
    rules = write_rules(tmp_path / "rules.yaml", prefix)
    options = ("--rules", str(rules), "--amqp-url", broker.url, "--prefix", prefix)
    assert run_command("topology", "declare", *options).returncode == 0
    with pika_channel(broker.url) as channel:
        yield Yard(broker, prefix, tmp_path, channel)


def kill_at_random(process: "subprocess.Popen[bytes]", yard: Yard, chance: random.Random) -> bool:
    """Kill it within a few tenths of a second of its first act, or before; False where it was faster."""
    if chance.random() < 0.7:
        yard.wait_for_an_act(process)
    time.sleep(chance.uniform(0, 0.6))
    process.kill()
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def test_killed_redrive_loses_no_letter(yard: Yard, chance: random.Random, scale: Scale) -> None:
    """However often it dies, each letter is dead or incoming, departures are audited, few come twice."""
    kills = 0
    for _ in range(scale(4, 30)):
        kills += kill_at_random(yard.start("redrive", "--yes", "--rate", "80"), yard, chance)
    while yard.depth("dead"):
        process = yard.start("redrive", "--yes", "--rate", "0")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    arrived = yard.empty("incoming")
    assert arrived.keys() == set(yard.bodies)
    assert arrived.total() - LETTERS <= kills * 20, "more than the part in flight was repeated"
    assert yard.audited() == {f"letter-{number}" for number in range(LETTERS)}
    assert kills > 0


@pytest.mark.whole
def test_killed_drop_loses_no_letter(yard: Yard, chance: random.Random, scale: Scale) -> None:
    """However often it dies, each letter is in the queue or in a file, and what left is audited."""
    files = []
    for number in range(scale(4, 30)):
        files.append(yard.folder / f"export-{number}")
        arguments = ("--all", "--yes", "--reason", "a test", "--export", str(files[-1]))
        kill_at_random(yard.start("drop", *arguments), yard, chance)
    wait_until(lambda: yard.depth("dead") + len(yard.audited()) >= LETTERS, "the rest back in its queue")
    left = yard.empty("dead")
    exported = set()
    for file in files:
        for line in file.read_bytes().split(b"\n")[:-1] if file.exists() else ():
            exported.add(json.loads(line)["body"].encode())
    gone = set(yard.bodies) - left.keys()
    assert left.total() == len(left)
    assert gone <= exported
    assert {f"letter-{yard.bodies.index(body)}" for body in gone} <= yard.audited()


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.whole
def test_interrupted_redrive_is_clean(yard: Yard, chance: random.Random, scale: Scale, early: bool) -> None:
    """Ctrl-C at any time: what is in flight is finished, the rest goes back, and no letter is there twice."""
    for _ in range(scale(3, 20)):
        process = yard.start("redrive", "--yes", "--rate", "40")
        if early:
            time.sleep(chance.uniform(0.3, 1.5))
        else:
            yard.wait_for_an_act(process)
            time.sleep(chance.uniform(0, 0.5))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        if process.returncode == 0 and not yard.depth("dead"):
            break  # none is left to be interrupted at
        assert process.returncode in INTERRUPTED, err
        assert b"Traceback" not in err
        assert early or b"dead letters redriven" in out
    dead, incoming = yard.empty("dead"), yard.empty("incoming")
    assert dead + incoming == Counter(yard.bodies)
    assert len(yard.audited()) == incoming.total() if yard.audit.exists() else not incoming
