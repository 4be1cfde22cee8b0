"""Signals in mid-stream: no payment is lost, and what comes twice is the same."""

import os
import signal
from collections import Counter

from tests.support.bodies import payment
from tests.support.books import Books
from tests.support.command import StartWorker, wait_until

PAYMENTS = 1800
GOOD = [payment(f"pay-{number}", value=f"{number + 1}.99") for number in range(PAYMENTS)]
BAD = [payment(f"bad-{number}", value=f"-{number + 1}.99") for number in range(PAYMENTS // 30)]
DRAIN_SECONDS = 20
"""The drain deadline's default; a stop in order takes a fraction of it."""


def stream() -> list[bytes]:
    """The payments in the order they are published, a bad one behind every thirtieth."""
    mixed = []
    for number, body in enumerate(GOOD):
        mixed.append(body)
        if number % 30 == 29:
            mixed.append(BAD[number // 30])
    return mixed


def test_sigterm_in_mid_stream_loses_and_repeats_nothing(books: Books, start_worker: StartWorker) -> None:
    """What was in flight is finished and acknowledged before exit 0; the next worker does the rest."""
    books.stock(stream())
    with start_worker("--prefetch", "5") as worker:
        books.wait_for_stream(200)
        code, seconds = worker.terminate()
        assert (code, "Traceback" in worker.log) == (0, False), worker.log
        wait_until(worker.group_is_gone, "every process is gone")
    assert seconds < DRAIN_SECONDS
    left = books.depth("incoming")
    assert left > 0
    assert books.collect() + left == len(GOOD) + len(BAD)
    with start_worker() as worker:
        books.wait_for(len(GOOD) + len(BAD))
        assert worker.terminate()[0] == 0
    books.check(GOOD, BAD)
    assert books.repeats == 0
    assert books.codes == {"amount_not_positive": len(BAD)}


def test_sigkill_of_one_worker_process_loses_nothing(books: Books, start_worker: StartWorker) -> None:
    """The supervisor starts another; what the dead one held comes again, and repeats are the same bytes."""
    books.stock(stream())
    with start_worker("--prefetch", "5") as worker:
        books.wait_for_stream(200)
        os.kill(worker.children[0], signal.SIGKILL)
        assert books.depth("incoming") > 0
        books.wait_for(len(GOOD) + len(BAD))
        wait_until(
            lambda: '"exit_code": -9' in worker.log and len(worker.children) == 2,
            "another process is started",
        )
        code, _ = worker.terminate()
        assert code == 0, worker.log
        assert '"exit_code": -9' in worker.log
    books.collect()
    _check_but_for_repeated_dead_letters(books)


def test_sigkill_of_all_processes_loses_nothing(books: Books, start_worker: StartWorker) -> None:
    """After supervisor and workers died at once, a new worker finishes; repeats are the same bytes."""
    books.stock(stream())
    with start_worker("--prefetch", "5") as worker:
        books.wait_for_stream(200)
        worker.kill_group()
    assert books.depth("incoming") > 0
    with start_worker() as worker:
        books.wait_for(len(GOOD) + len(BAD))
        assert worker.terminate()[0] == 0
    books.collect()
    _check_but_for_repeated_dead_letters(books)


def test_sigkill_of_the_supervisor_alone_ends_its_workers_in_order(
    books: Books, start_worker: StartWorker
) -> None:
    """Worker processes notice that nobody watches them, finish what they hold, and go."""
    books.stock(stream())
    with start_worker("--prefetch", "5") as worker:
        books.wait_for_stream(200)
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait(10)
        wait_until(worker.group_is_gone, "the worker processes are gone", DRAIN_SECONDS)
    left = books.depth("incoming")
    assert left > 0
    assert books.collect() + left == len(GOOD) + len(BAD)
    with start_worker() as worker:
        books.wait_for(len(GOOD) + len(BAD))
        assert worker.terminate()[0] == 0
    books.check(GOOD, BAD)
    assert books.repeats == 0


def test_sigint_ends_the_worker_as_ctrl_c_does(books: Books, start_worker: StartWorker) -> None:
    """Ctrl-C reaches every process of the group at once, and all of them still drain and exit 0."""
    books.stock(GOOD[:500])
    with start_worker("--prefetch", "5") as worker:
        books.wait_for_stream(50)
        os.killpg(worker.process.pid, signal.SIGINT)
        assert worker.process.wait(DRAIN_SECONDS) == 0, worker.log
        assert "Traceback" not in worker.log
    assert books.collect() + books.depth("incoming") == 500
    assert books.repeats == 0


def test_sigint_while_processes_start_ends_them_quietly(start_worker: StartWorker) -> None:
    """Ctrl-C right after the start is the supervisor's to hear; no process dies of it while it imports."""
    with start_worker() as worker:
        wait_until(lambda: bool(worker.children), "the first process")
        os.killpg(worker.process.pid, signal.SIGINT)
        assert worker.process.wait(DRAIN_SECONDS) == 0, worker.log
        assert "Traceback" not in worker.log


def test_worker_that_is_told_to_stop_twice_stops_once(books: Books, start_worker: StartWorker) -> None:
    """An impatient operator's second SIGTERM neither breaks the drain nor changes the exit code."""
    books.stock(GOOD[:500])
    with start_worker("--prefetch", "5") as worker:
        books.wait_for_stream(50)
        os.killpg(worker.process.pid, signal.SIGTERM)
        code, _ = worker.terminate()
        assert code == 0, worker.log
    assert books.collect() + books.depth("incoming") == 500
    assert books.repeats == 0


def _check_but_for_repeated_dead_letters(books: Books) -> None:
    """A crash may repeat a dead letter too: the same body, which an operator sees twice."""
    assert set(books.dead) == set(BAD)
    books.dead = Counter(set(books.dead))
    books.check(GOOD, BAD)
