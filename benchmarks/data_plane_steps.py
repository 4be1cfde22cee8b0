"""Where do the tap lane's microseconds go? Each step alone, in this process, without a socket.

Usage: python -m benchmarks.data_plane_steps [--quick]
"""

import argparse
import asyncio
import json
import struct
import sys
import time
from collections.abc import Callable

from benchmarks.harness import RESULTS, machine
from worker.amqp.assembler import Assembler
from worker.amqp.confirms import Confirms
from worker.amqp.lane import Outgoing, Properties
from worker.amqp.tap import Tap
from worker.amqp.watermark import Watermark
from worker.amqp.wire import (
    Confirm,
    Delivery,
    Event,
    PropertiesEncoder,
    PublishRoute,
    encode_ack,
    encode_properties,
)

BATCH = 200
BODY = b"x" * 280
HEADERS = {"payment-attempt": 1, "payment-id": "pay_0123456789abcdef", "dispatch-id": "d" * 32}
FRAME_MAX = 131_072
ACKS_PER_BATCH = 8  # RabbitMQ gathers confirms while it is busy

Step = Callable[[], object]


class Reader(asyncio.StreamReaderProtocol):
    """Stands for aiormq."""

    def __init__(self) -> None:
        super().__init__(asyncio.StreamReader())

    def data_received(self, data: bytes) -> None:
        """Take a heartbeat."""


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


def deliveries() -> bytes:
    """A batch of deliveries as RabbitMQ writes them."""
    properties = encode_properties(Properties(content_type="application/json", delivery_mode=2))
    head = frame(2, struct.pack(">HHQ", 60, 0, len(BODY)) + properties)
    pieces = []
    for tag in range(1, BATCH + 1):
        names = b"\x10" + b"c" * 16 + struct.pack(">QB", tag, 0) + b"\x08payments\x08card.eur"
        pieces += [frame(1, struct.pack(">HH", 60, 60) + names), head, frame(3, BODY)]
    return b"".join(pieces)


def confirms() -> bytes:
    """The confirms of a batch, a few multiples."""
    step = BATCH // ACKS_PER_BATCH
    tags = range(step, BATCH + 1, step)
    return b"".join(frame(1, struct.pack(">HHQB", 60, 80, tag, 1)) for tag in tags)


def outgoing() -> list[Outgoing]:
    return [
        Outgoing(
            "processor.alpha", "card.eur", BODY,
            Properties(content_type="application/json", message_id=f"m{number}", headers={**HEADERS}),
        )
        for number in range(BATCH)
    ]  # fmt: skip


class Steps:
    """Every step on its own; each returns what the next one takes."""

    def __init__(self) -> None:
        self.stream, self.confirms = deliveries(), confirms()
        self.events: list[Event] = []
        self.batch = outgoing()
        self.ids = [one.properties.message_id or "" for one in self.batch]
        self.encoder = PropertiesEncoder()
        self.route = PublishRoute(1, "processor.alpha", "card.eur", frame_max=FRAME_MAX)
        self.tap = Tap(Reader(), asyncio.get_running_loop())
        self.tap.divert(1, FRAME_MAX, self._receive)
        self.assembler = Assembler()
        self.assembler.divert(1)

    def _receive(self, events: list[Event]) -> None:
        self.events = events

    def read_deliveries(self) -> list[Event]:
        """Part a read of deliveries and hand them to the lane."""
        self.tap.data_received(self.stream)
        return self.events

    def decode_properties(self) -> None:
        """Decode each delivery's properties, once."""
        for event in self.assembler.feed(self.stream)[0]:
            if type(event) is Delivery:
                _ = event.properties

    def only_part(self) -> None:
        """Part a read of deliveries, to be taken off the step before."""
        for event in self.assembler.feed(self.stream)[0]:
            if type(event) is Delivery:
                _ = event.tag

    def encode(self) -> bytes:
        """Encode properties with three headers, and frames, and join them to one write."""
        frames: list[bytes] = []
        for one in self.batch:
            frames += self.route.parts(self.encoder.encode(one.properties), one.body)
        return b"".join(frames)

    def confirm(self) -> None:
        """Note publishes, read their confirms, and mark them."""
        book = Confirms()
        book.publish(self.ids, lambda: None)
        self.tap.data_received(self.confirms)
        for event in self.events:
            if type(event) is Confirm:
                book.confirm(event.tag, event.multiple, event.stored)

    def settle(self) -> None:
        """Settle a batch in order: one ack."""
        for tag, multiple in Watermark(patience=125, delivered=BATCH).settle(range(1, BATCH + 1)):
            encode_ack(1, tag, multiple=multiple)


def microseconds(step: Step, seconds: float) -> float:
    """Microseconds a message: the best of many batches, since whatever disturbs only adds."""
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - started)
    return 1e6 * best / BATCH


async def measure(seconds: float) -> dict[str, float]:
    """Each step's microseconds a message."""
    steps = Steps()
    alone = microseconds(steps.only_part, seconds)
    return {
        "read: part the bytes into deliveries, hand them out": microseconds(steps.read_deliveries, seconds),
        "decode properties, when asked for": microseconds(steps.decode_properties, seconds) - alone,
        "write: properties with three headers, frames, one join": microseconds(steps.encode, seconds),
        "confirm: number the publishes, read confirms, mark them": microseconds(steps.confirm, seconds),
        "settle: watermark and one ack": microseconds(steps.settle, seconds),
    }


def main(arguments: list[str]) -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the time; no results are kept")
    options = parser.parse_args(arguments)
    steps = asyncio.run(measure(0.2 if options.quick else 1.0))
    lines = [
        "## The tap lane by step",
        "",
        f"{machine()}. Batches of {BATCH} messages of {len(BODY)} bytes, without a socket, the best batch.",
        "`python -m benchmarks.data_plane_steps`",
        "",
        "| step | us a message |",
        "| --- | ---: |",
        *(f"| {name} | {us:.2f} |" for name, us in steps.items()),
        f"| all | {sum(steps.values()):.2f} |",
    ]
    text = "\n".join(lines) + "\n"
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "data_plane_steps.md").write_text(text)
        (RESULTS / "data_plane_steps.json").write_text(json.dumps(steps, indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
