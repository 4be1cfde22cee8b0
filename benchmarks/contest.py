"""Interleaved rounds of contestants, and the table of what they reached."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from aiormq.abc import AbstractConnection

from benchmarks.harness import Contestant, run_round
from benchmarks.results import Table, median_of, spread

ROUNDS = 5
QUICK_ROUNDS = 2


def options_of_rounds(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--quick`` and ``--rounds``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="a little of it, two rounds; no results are kept"
    )
    parser.add_argument(
        "--rounds", type=int, help=f"rounds a contestant ({ROUNDS}; {QUICK_ROUNDS} with --quick)"
    )
    return parser


def rounds_of(options: argparse.Namespace) -> int:
    """Return how many rounds were asked for."""
    return options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)


async def play(
    connection: AbstractConnection,
    contestants: Sequence[Contestant],
    bodies: Sequence[bytes],
    rounds: int,
    broker_pid: int | None,
) -> None:
    """Give every contestant its rounds, all of them in turn, and say how each went."""
    for number in range(1, rounds + 1):
        for one in contestants:
            one.rounds.append(await run_round(connection, one, bodies, broker_pid))
            found = one.rounds[-1]
            print(
                f"round {number} of {rounds}: {one.name}: {found.messages_per_second:,.0f}/s,"
                f" {found.cpu_us_per_message:.1f} us CPU",
                flush=True,
            )


def table(contestants: Sequence[Contestant], base: str, unit: str = "messages") -> Table:
    """Return a row a contestant; the ratio is to the median of the one named ``base``."""
    reference = median_rate(contestants, base)
    columns = (
        "what", f"{unit}/s, median", "lowest to highest", "CPU us each", "broker's CPU us each", "RSS MB",
        f"ratio to {base}",
    )  # fmt: skip
    rows = [
        (
            one.name,
            f"{one.median:,.0f}",
            spread([r.messages_per_second for r in one.rounds]),
            f"{median_of(r.cpu_us_per_message for r in one.rounds):.1f}",
            f"{median_of(r.broker_cpu_us_per_message for r in one.rounds):.1f}",
            f"{max(r.rss_mb for r in one.rounds):.0f}",
            f"{one.median / reference:.2f}",
        )
        for one in contestants
    ]
    return Table(columns, rows)


def rows(contestants: Sequence[Contestant]) -> dict[str, list[dict[str, float]]]:
    """Return every round, for the JSON."""
    return {one.name: [asdict(found) for found in one.rounds] for one in contestants}


def median_rate(contestants: Sequence[Contestant], name: str) -> float:
    """Return the median of the contestant with that name."""
    return next(one.median for one in contestants if one.name == name)


def largest_rss_mb(contestant: Contestant) -> float:
    """Return the most that any process of it had, in any round."""
    return max(found.rss_mb for found in contestant.rounds)
