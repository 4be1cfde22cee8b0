"""The benchmarks' arithmetic: a round's rate from looks at it, and the figures that are promised."""

from benchmarks.batches import name_of
from benchmarks.batches import summary_of as batch_summary
from benchmarks.harness import Contestant
from benchmarks.line_up import AIORMQ_RELAY, C_RELAY, TAP_RELAY, WORKER
from benchmarks.throughput import summary_of
from benchmarks.watching import Look, Round, round_of


def looks(*seen: tuple[float, int]) -> list[Look]:
    return [Look(at, arrived, at / 2, 50.0 + at, at / 4) for at, arrived in seen]


def test_the_warm_up_and_the_late_last_look_do_not_count() -> None:
    """From the first look past a fifth to the last that does not find all."""
    found = round_of(looks((0, 0), (1, 100), (2, 300), (3, 500), (4, 700), (9, 1000)), 1000, 1000)
    assert found == Round(200.0, 2500.0, 59.0, 1250.0)


def test_payments_count_where_messages_hold_several() -> None:
    """A message of ten payments is ten payments."""
    found = round_of(looks((0, 0), (1, 30), (2, 50), (3, 70), (9, 100)), 100, 1000)
    assert found.messages_per_second == 200.0


def test_a_round_that_is_over_between_two_looks_has_a_rate() -> None:
    """The rate is then too low rather than too high: the pause counts whole."""
    assert round_of(looks((0, 0), (1, 1000)), 1000, 1000).messages_per_second == 1000.0


def contestant(name: str, rate: float) -> Contestant:
    return Contestant(name, list, "in", ["out"], rounds=[Round(rate, 1.0, 80.0)])


def test_the_summary_of_throughput_has_the_promised_keys() -> None:
    """Each ratio is to what its key names."""
    rates = {C_RELAY: 40.0, TAP_RELAY: 36.0, AIORMQ_RELAY: 5.0, WORKER: 20.0, "one": 1.0, "two": 2.0}
    everyone = [contestant(name, rate) for name, rate in rates.items()]
    assert summary_of(everyone, ["one", "two"]) == {
        "tap_relay.vs_c_relay": 0.9,
        "single.vs_c_relay": 0.5,
        "single.vs_bare_aiormq": 4.0,
        "single.vs_best_peer": 10.0,
        "single.payments_per_second": 20.0,
        "rss_mb": 80.0,
    }
    assert "single.vs_c_relay" not in summary_of(everyone[1:], [])


def test_the_summary_of_batches_is_about_fifty_in_and_batches_out() -> None:
    """Other sizes stand in the table."""
    ours = [contestant(name_of(size, gathers=True), 10.0 * size) for size in (10, 50, 100)]
    found = batch_summary([contestant(C_RELAY, 250.0), *ours])
    assert found == {"batch50.payments_per_second": 500.0, "batch50.vs_c_relay": 2.0}
