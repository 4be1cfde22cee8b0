"""Does one worker stay as it is over a million payments: its memory, its descriptors, its throughput?

Usage: python -m benchmarks.endurance [--quick] [--payments N]

The command fails when memory has grown by more than a tenth after the warm-up, or descriptors were leaked.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from benchmarks import charts, line_up
from benchmarks.endurance_questions.course import Course, Sample, look
from benchmarks.open_loop.field import Field
from benchmarks.open_loop.traffic import Traffic
from benchmarks.results import Place, Result, Table, shown
from benchmarks.rule_files import everything_on
from worker.local_broker import LocalBroker

WINDOW: Final = 3 * line_up.PREFETCH
"""Payments under way: one prefetch at work, and more than one waiting in the incoming queue."""
FULL, QUICK = 1_000_000, 20_000
FEWEST_TO_JUDGE: Final = 200_000
"""Payments from which on the warm-up, a tenth, is long enough for caches to fill."""
SAMPLE_SECONDS: Final = 0.5
TELL_SECONDS: Final = 20.0


async def run(broker: LocalBroker, folder: Path, payments: int) -> Course:
    """Send so many payments through a worker with everything on, and watch it."""
    journals = line_up.new_sqlite_journals(folder)
    worker = await line_up.worker(broker, everything_on(folder), journals)
    async with Field(broker.url).under_way(worker) as (traffic, pid):
        course = Course(payments)
        watching = asyncio.create_task(_watch(course, traffic, pid))
        try:
            await traffic.pour(payments, WINDOW)
        finally:
            watching.cancel()
        course.samples.append(_sample(course, traffic, pid))
        course.repeats = traffic.repeats
    return course


def _sample(course: Course, traffic: Traffic, pid: int) -> Sample:
    rss_mb, descriptors = look(pid)
    return Sample(time.perf_counter() - course.began, traffic.arrived, rss_mb, descriptors)


async def _watch(course: Course, traffic: Traffic, pid: int) -> None:
    told = 0.0
    while True:
        sample = _sample(course, traffic, pid)
        course.samples.append(sample)
        if sample.seconds >= told:
            told += TELL_SECONDS
            print(
                f"{sample.seconds:6.0f} s: {sample.arrived:,} payments, {sample.rss_mb:.1f} MB,"
                f" {sample.descriptors} descriptors",
                flush=True,
            )
        await asyncio.sleep(SAMPLE_SECONDS)


def tables(course: Course) -> list[Table]:
    """What was asked, and the course in windows."""
    warm, last = course.between(0.1, 0.2), course.between(0.9, 1.0)
    third = 0.9 / 3
    rates = [course.rate(0.1 + n * third, 0.1 + (n + 1) * third) for n in range(3)]
    found = [
        ("RSS, MB", f"{warm.rss_mb:.1f}", f"{last.rss_mb:.1f}", f"{course.rss_growth:+.1%}"),
        ("RSS at most, MB", "", f"{course.highest_rss_mb:.1f}", ""),
        ("descriptors", str(warm.descriptors), str(last.descriptors), f"{course.leaked:+d}"),
        ("payments/s", f"{rates[0]:,.0f}", f"{rates[-1]:,.0f}", f"{course.throughput_change:+.1%}"),
    ]
    windows = [
        (f"{window.end:,.0f}", f"{window.rate:,.0f}", f"{window.rss_mb:.1f}", str(window.descriptors))
        for window in course.windows()
    ]
    return [
        Table(("what", "after the warm-up", "at the end", "change"), found),
        Table(("until, s", "payments/s", "RSS MB", "descriptors"), windows, title="Over time", texts=0),
    ]


def draw(course: Course, path: Path) -> None:
    """Draw memory and throughput over time."""
    windows = course.windows()
    rss = {"worker": [(window.end, window.rss_mb) for window in windows]}
    rates = {"worker": [(window.end, window.rate) for window in windows]}
    title = f"{course.payments:,} payments"
    charts.draw(
        path,
        [
            charts.Lines(f"Memory over {title}", "seconds", "RSS, MB", rss),
            charts.Lines(f"Throughput over {title}", "seconds", "payments/s", rates),
        ],
        columns=2,
    )


def main(arguments: list[str]) -> int:
    """Run it and write the tables; return 1 when the worker did not stay as it was."""
    parser = argparse.ArgumentParser("python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} payments; no results are kept")
    parser.add_argument("--payments", type=int, help=f"instead of {FULL:,}; no results are kept")
    parser.add_argument("--rounds", type=int, help="ignored: there is one, long")
    options = parser.parse_args(arguments)
    payments = options.payments or (QUICK if options.quick else FULL)
    with tempfile.TemporaryDirectory() as folder, LocalBroker() as broker:
        place = Place.of(broker)
        course = uvloop.run(run(broker, Path(folder), payments))
        journal_mb = sum(file.stat().st_size for file in Path(folder).glob("journal-*")) / 1e6
    result = Result(
        name="endurance",
        title="Endurance",
        command=" ".join(("python -m benchmarks.endurance", *arguments)),
        place=place,
        notes=[
            f"{payments:,} payments through one worker process with everything on, at its full speed.",
            f"{WINDOW:,} are kept under way.",
            f"{course.samples[-1].arrived:,} arrived, {course.repeats:,} of them more than once.",
            "Memory is the largest process's, descriptors are those of all.",
            "The first tenth is warm-up. Memory and descriptors: the second tenth against the last.",
            "Throughput: the first third after the warm-up against the last.",
            f"The journal had {shown(journal_mb)} MB at the end.",
        ],
        tables=tables(course),
        rows=course.as_json(),
        summary={
            "endurance.rss_growth": course.rss_growth,
            "endurance.throughput_change": course.throughput_change,
        },
        chart=partial(draw, course),
    )
    result.write(quick=payments != FULL)
    if payments < FEWEST_TO_JUDGE:
        print(f"too short to judge: from {FEWEST_TO_JUDGE:,} payments on")
        return 0
    for verdict in course.verdicts():
        print(verdict, file=sys.stderr)
    return 1 if course.verdicts() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
