"""The endurance benchmark: what a long run's samples say about its first and its last part."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.endurance_questions.course import Course, Sample, look


def course(
    rss_mb: Callable[[float], float] = lambda _: 100.0,
    descriptors: Callable[[float], int] = lambda _: 30,
    seconds: Callable[[float], float] = lambda share: 100 * share,
) -> Course:
    """Return a run of 1,000 payments in 201 samples, each value a function of the share that has arrived."""
    shares = [number / 200 for number in range(201)]
    return Course(1000, [Sample(seconds(s), round(1000 * s), rss_mb(s), descriptors(s)) for s in shares])


def test_what_stays_as_it_was_passes() -> None:
    """No growth, no leak, the same pace."""
    found = course()
    assert (found.rss_growth, found.leaked, found.verdicts()) == (0.0, 0, [])
    assert found.throughput_change == pytest.approx(0.0)


def test_growth_during_the_warm_up_does_not_count() -> None:
    """Caches fill first."""
    assert course(rss_mb=lambda share: 50.0 if share < 0.1 else 100.0).verdicts() == []


def test_memory_that_grows_after_the_warm_up_is_named() -> None:
    """More than a tenth is too much."""
    found = course(rss_mb=lambda share: 100 + 20 * share)
    assert found.rss_growth == pytest.approx(0.1553, abs=0.001)
    assert found.verdicts() == ["memory has grown by 15.5%, 10% are allowed"]


def test_descriptors_that_stay_open_are_named_and_those_that_come_and_go_are_not() -> None:
    """A journal opens files for a moment as it works; SQLite keeps a few of them."""
    leaking = course(descriptors=lambda share: 30 + round(10 * share))
    assert leaking.verdicts() == ["8 descriptors more are open than after the warm-up, 3 are allowed"]
    assert course(descriptors=lambda share: 30 + int(share > 0.5)).verdicts() == []
    assert course(descriptors=lambda share: 30 + 9 * (round(200 * share) % 2)).verdicts() == []


def test_throughput_is_compared_by_payments_not_by_time() -> None:
    """A run that takes twice as long for its last third has half the throughput there."""
    slowing = course(seconds=lambda share: 100 * share + 100 * max(0.0, share - 0.7))
    assert slowing.throughput_change == pytest.approx(-0.5)


def test_windows_cover_the_run() -> None:
    """Their rates times their lengths are about what arrived."""
    windows = course().windows()
    assert len(windows) == 30
    assert windows[-1].end == 100.0
    assert {round(window.rate, 6) for window in windows} == {10.0}


def test_a_process_has_memory_and_descriptors() -> None:
    """This one, for example: an open file is one more."""
    rss_mb, before = look(os.getpid())
    with Path(os.devnull).open():
        assert look(os.getpid())[1] == before + 1
    assert rss_mb > 5
