"""The latency benchmark: which loads are measured, what is compared, and how a message is known again."""

import orjson
import pytest
from pamqp.commands import Basic

from benchmarks.harness import Contestant, Message
from benchmarks.open_loop.loads import Entrant, Load, percentiles, plan, same_rate
from benchmarks.open_loop.report import compared
from benchmarks.open_loop.traffic import Numbered, Traffic
from worker.amqp.wire import decode_properties


def entrant(name: str, capacity: float) -> Entrant:
    return Entrant(Contestant(name, list, "in", ["out"]), [capacity])


def test_a_percentile_is_the_latency_of_a_real_payment() -> None:
    """Of a thousand latencies the p99 is the 990th, and the p99.9 the last but one."""
    found = percentiles([n / 1000 for n in range(1000, 0, -1)])
    assert found == pytest.approx({50.0: 500.0, 90.0: 900.0, 99.0: 990.0, 99.9: 999.0})


def test_the_relay_is_measured_at_the_workers_half_load_where_it_takes_it() -> None:
    """Then that rate alone is "the same rate"."""
    worker, relay = entrant("worker", 10_000.0), entrant("relay", 8_000.0)
    plan([worker, relay], worker, relay)
    assert [(ours.rate, theirs.rate) for ours, theirs in same_rate(worker, relay)] == [(5_000.0, 5_000.0)]
    assert [load.rate for load in relay.loads] == pytest.approx([1_600.0, 4_000.0, 5_000.0, 6_400.0])


def test_the_worker_is_measured_at_the_relays_rates_where_the_relay_does_not_take_its_own() -> None:
    """A relay asked for more than it takes would make any worker look good."""
    worker, relay = entrant("worker", 10_000.0), entrant("relay", 4_000.0)
    plan([worker, relay], worker, relay)
    pairs = [(ours.rate, theirs.rate) for ours, theirs in same_rate(worker, relay)]
    assert pairs == [(2_000.0, 2_000.0), (3_200.0, 3_200.0)]


def test_the_worker_is_measured_at_the_half_load_of_the_fastest_peer() -> None:
    """Each peer at its own half load has less to do than the worker at its own."""
    worker, relay = entrant("worker", 10_000.0), entrant("relay", 4_000.0)
    peers = [entrant("slow", 300.0), entrant("fast", 900.0)]
    plan([worker, relay, *peers], worker, relay, peers)
    assert [load.rate for load in worker.loads] == [450.0, 2_000.0, 3_200.0, 5_000.0, 8_000.0]


def test_the_worse_of_two_ratios_is_the_figure() -> None:
    """At the relay's highest load the relay is slow, and the worker looks better than it is."""
    worker = entrant("payment-worker, everything on", 10_000.0)
    relay = entrant("bare aiormq relay, no work", 4_000.0)
    plan([worker, relay], worker, relay)
    milliseconds = {2_000.0: (6.0, 4.0), 3_200.0: (7.0, 14.0), 5_000.0: (9.0, 0.0)}
    for place, one in enumerate((worker, relay)):
        for load in one.loads:
            load.rounds.append(
                dict.fromkeys((50.0, 90.0, 99.0, 99.9), milliseconds.get(load.rate, (1, 1))[place])
            )
    summary, _ = compared([worker, relay])
    assert summary == {"latency.p99_ms": 9.0, "latency.p99_vs_relay": 1.5}


def test_the_median_is_over_rounds() -> None:
    """One bad round does not make the figure."""
    load = Load(100.0, 0.5, "50%")
    load.rounds = [{99.0: 3.0}, {99.0: 90.0}, {99.0: 4.0}]
    assert load.median(99.0) == 4.0


def test_a_message_counts_once_however_often_it_arrives() -> None:
    """What an earlier contestant left behind counts as a repeat, too."""
    messages = Numbered([b'{"payment_id":"pay-1","type":"card"}'])
    traffic = Traffic(messages, first=12)
    traffic.note_sent([0.5, 0.5])
    for number in (12, 12, 3, 13):
        traffic.note_arrival(messages[number][0], 1.0)
    assert (traffic.arrived, traffic.repeats) == (2, 2)
    assert traffic.latencies(0) == [0.5, 0.5]


def test_a_peers_message_has_the_payments_id_wherever_its_client_puts_it() -> None:
    """In the body and in the properties, so that no two messages are one task."""

    def wrap(payment: bytes) -> Message:
        payment_id = orjson.loads(payment)["payment_id"]
        return orjson.dumps({"id": payment_id, "args": [orjson.loads(payment)]}), Basic.Properties(
            delivery_mode=2, correlation_id=payment_id, headers={"id": payment_id, "lang": "py"}
        )

    body, raw = Numbered([b'{"payment_id":"pay-1","type":"card"}'], wrap)[7]
    assert orjson.loads(body) == {
        "id": "loop-0000000007",
        "args": [{"payment_id": "loop-0000000007", "type": "card"}],
    }
    found = decode_properties(raw)
    assert (found.delivery_mode, found.correlation_id) == (2, "loop-0000000007")
    assert found.headers == {"id": "loop-0000000007", "lang": "py"}
