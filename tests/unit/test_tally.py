"""The demo's books notice what is lost, doubled or short."""

import orjson

from tests.support.payments import NOW, body, rule_table
from worker.codec import decode
from worker.generate import generate
from worker.planning import Planner
from worker.tally import Tally, show

PLANNER = Planner(rule_table())


def dispatch(message: bytes) -> bytes:
    return PLANNER.plan(decode(message, None, None, 1 << 20), NOW).dispatch(0).body


def test_books_balance_when_all_arrived() -> None:
    """Dispatched once or dead-lettered, with a repeat of the same bytes: that is balanced."""
    tally, good, bad = Tally(), body(), b"broken"
    tally.send(good)
    tally.send(bad)
    assert not tally.balanced
    tally.dispatched("alpha", dispatch(good))
    tally.dispatched("alpha", dispatch(good))
    tally.dead("malformed_message", bad)
    tally.dead("malformed_message", bad)
    assert tally.balanced
    assert (tally.accounted, tally.repeats, tally.dead_repeats) == (2, 1, 1)


def test_a_second_processor_is_a_problem() -> None:
    """Two processors must never get the same payment."""
    tally, good = Tally(), body()
    tally.send(good)
    tally.dispatched("alpha", dispatch(good))
    other = PLANNER.plan(decode(good, None, None, 1 << 20), NOW).dispatch(1).body
    tally.dispatched("beta", other)
    assert tally.problems == ["pay-1 was dispatched twice, differently"]


def test_a_wrong_sum_is_a_problem() -> None:
    """A unit too many in a fee shows."""
    tally, good = Tally(), body()
    tally.send(good)
    wrong = orjson.loads(dispatch(good))
    wrong["fees"][0]["amount"]["value"] = "0.55"
    tally.dispatched("alpha", orjson.dumps(wrong))
    assert not tally.balanced
    assert tally.problems


def test_a_lost_payment_shows() -> None:
    """What was sent and arrived nowhere is missing."""
    tally = Tally()
    tally.send(body())
    tally.send(body(payment_id="pay-2"))
    tally.dispatched("alpha", dispatch(body()))
    assert (tally.missing, tally.balanced) == (1, False)


def test_money_is_shown_in_full() -> None:
    """Thousands are grouped, and only zeros that say nothing are left out."""
    assert [show(n) for n in (0, 1, 10**12, -1_234_500 * 10**9, 1_000_000 * 10**12)] == [
        "0.00", "0.000000000001", "1.00", "-1,234.50", "1,000,000.00",
    ]  # fmt: skip


def test_generated_payments_are_the_same_for_the_same_seed() -> None:
    """A seed reproduces them, bad ones included; ids do not repeat across seeds."""
    assert list(generate(200, 3, 0.2)) == list(generate(200, 3, 0.2))
    ids = {orjson.loads(line)["payment_id"] for seed in (1, 2) for line in generate(500, seed)}
    assert len(ids) == 1000


def test_generated_good_payments_are_good() -> None:
    """Without a bad share every line can be read."""
    for line in generate(500, 11):
        decode(line, None, None, 1 << 20)
