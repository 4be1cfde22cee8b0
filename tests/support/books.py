"""The books of an acceptance test: what was published, and where every payment of it has gone."""

import contextlib
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.support.command import POLL_SECONDS, wait_until

SETTLE_SECONDS = 60.0
LOST_SECONDS = 3.0
PERSISTENT = pika.BasicProperties(content_type="application/json", delivery_mode=2)


@dataclass(slots=True)
class Books:
    """Counts payments at the processors and in the dead letters of one prefix, over one pika channel."""

    channel: BlockingChannel
    url: str
    prefix: str
    dispatched: dict[str, list[bytes]] = field(default_factory=dict)
    dead: Counter[bytes] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    repeats: int = 0

    def publish(self, bodies: Sequence[bytes]) -> None:
        """Publish with pika, each confirmed, mandatory and persistent."""
        for body in bodies:
            self.channel.basic_publish(self.prefix, "card.eur", body, PERSISTENT, mandatory=True)

    def publish_with_amqp_tools(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Publish with Debian's amqp-publish while no worker runs; return what was sent, line break and all.

        Where the program is missing, pika does it. It asks for no confirms and may close its channel too
        early for a quorum queue, so each payment is looked for in the queue and sent again if it got lost.
        """
        program = shutil.which("amqp-publish")
        if program is None:
            self.publish(bodies)
            return list(bodies)
        options = f"-e {self.prefix} -r card.eur -p -C application/json -l".split()
        lines = [body + b"\n" for body in bodies]
        for number, line in enumerate(lines):
            while self.depth("incoming") == number:
                command = [program, "-u", f"{self.url}%2f", *options]
                subprocess.run(command, input=line, check=True, timeout=SETTLE_SECONDS)
                with contextlib.suppress(AssertionError):
                    wait_until(
                        lambda n=number: self.depth("incoming") > n, "a payment in the queue", LOST_SECONDS
                    )
        return lines

    def stock(self, bodies: Sequence[bytes]) -> None:
        """Fill the incoming queue before any worker runs, the fastest way there is: without confirms."""
        channel = self.channel.connection.channel()
        for body in bodies:
            channel.basic_publish(self.prefix, "card.eur", body, PERSISTENT)
        wait_until(lambda: self.depth("incoming") == len(bodies), f"{len(bodies)} payments in the queue")
        channel.close()

    def wait_for_stream(self, count: int) -> None:
        """Wait until this many payments have arrived at alpha, while more are still to come."""
        wait_until(lambda: self.depth("proc.alpha.inbox") >= count, f"{count} dispatches")

    @property
    def accounted(self) -> int:
        """How many payments have been found, each counted once."""
        return len(self.dispatched) + self.dead.total()

    def collect(self) -> int:
        """Enter what has arrived since into the books; return how many payments are accounted for."""
        for processor in ("alpha", "beta"):
            for body, _ in self._drain(f"{self.prefix}.proc.{processor}.inbox"):
                known = self.dispatched.setdefault(json.loads(body)["payment_id"], [])
                known.append(body)
                self.repeats += len(known) > 1
        for body, properties in self._drain(f"{self.prefix}.dead"):
            self.dead[body] += 1
            self.codes[properties.headers["payment-error-code"]] += 1
        return self.accounted

    def wait_for(self, count: int) -> None:
        """Collect until this many payments are accounted for."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.collect() < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.accounted} of {count} payments within {SETTLE_SECONDS:g} s")
            self.channel.connection.process_data_events(POLL_SECONDS)

    def depth(self, name: str) -> int:
        """How many messages lie in a queue of this prefix."""
        declared = self.channel.queue_declare(f"{self.prefix}.{name}", passive=True)
        return int(declared.method.message_count)

    def check(self, good: Sequence[bytes], bad: Sequence[bytes] = ()) -> None:
        """Everything published is dispatched or dead, intact, repeats are identical, and nothing is left."""
        ids = {json.loads(body)["payment_id"]: json.loads(body) for body in good}
        assert self.dispatched.keys() == ids.keys()
        for payment_id, bodies in self.dispatched.items():
            assert len(set(bodies)) == 1, f"{payment_id} was dispatched differently: {bodies}"
            dispatch = json.loads(bodies[0])
            assert {name: dispatch[name] for name in ids[payment_id]} == ids[payment_id]
        assert self.dead == Counter(bad)
        assert {name: self.depth(name) for name in ("incoming", "crashed", "delay.1s")} == {
            "incoming": 0,
            "crashed": 0,
            "delay.1s": 0,
        }

    def _drain(self, queue: str) -> list[tuple[bytes, pika.BasicProperties]]:
        taken: list[tuple[bytes, pika.BasicProperties]] = []
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return taken
            taken.append((body, properties))
