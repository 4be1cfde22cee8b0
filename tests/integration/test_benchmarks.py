"""The benchmarks run: a small part of them, so that they do not rot. No time is tested."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.__main__ import SHOWN

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 900.0


async def benchmark(folder: Path, *arguments: str) -> str:
    """Run `python -m benchmarks` with these arguments; its results go to a new folder in ``folder``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks", *arguments,
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_SECONDS):
        output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    return text


def kept(folder: Path, name: str) -> dict[str, Any]:
    """The result that a quick look has written."""
    (path,) = folder.glob(f"benchmark-results-*/{name}.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


async def test_a_small_part_runs(tmp_path: Path) -> None:
    """Workers that trace nothing, little and everything move all payments, and the spans arrive."""
    arguments = ("scaling", "--quick", "--messages", "400", "--only", "tracing")
    shown = await benchmark(tmp_path, *arguments)
    found = kept(tmp_path, "scaling")
    assert [one["variant"] for one in found["rows"]["tracing"]] == [
        "off", "unsampled", "1 % sampled", "100 % sampled",
    ]  # fmt: skip
    for one in found["rows"]["tracing"]:
        assert one["rounds"][0]["messages_per_second"] > 0, one
    spans = [one["rounds"][0]["spans"] for one in found["rows"]["tracing"]]
    assert spans[0] == spans[1] == 0
    assert spans[3] == 400  # two for each of 200 payments
    assert "tracing.unsampled_cost" in found["summary"]
    assert "100 % of the spans of 100 % sampled" in shown


async def test_the_commands_start_is_timed(tmp_path: Path) -> None:
    """Wall and CPU time of each command, in turn."""
    await benchmark(tmp_path, "startup", "--quick", "--rounds", "1")
    assert kept(tmp_path, "startup")["summary"]["startup.help_ms"] > 0


async def test_payments_are_sent_by_a_schedule_and_all_arrive(tmp_path: Path) -> None:
    """A worker's latencies at three shares of its capacity: no percentile is below a lower one."""
    await benchmark(tmp_path, "latency", "--quick", "--only", "payment-worker")
    (row,) = kept(tmp_path, "latency")["rows"]
    assert [load["share"] for load in row["loads"]] == [0.2, 0.5, 0.8]
    for load in row["loads"]:
        (found,) = load["rounds_ms"]
        assert 0 < found["p50"] <= found["p90"] <= found["p99"] <= found["p99.9"]


async def test_a_long_run_is_watched(tmp_path: Path) -> None:
    """Every payment arrives, and memory and descriptors are seen."""
    shown = await benchmark(tmp_path, "endurance", "--quick", "--payments", "2000")
    assert "2,000 arrived, 0 of them more than once" in shown
    assert {"endurance.rss_growth", "endurance.throughput_change"} == set(
        kept(tmp_path, "endurance")["summary"]
    )


async def test_a_benchmark_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And those that are there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks", "throughputs", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, output = await process.communicate()
    assert process.returncode == 2
    assert f"no benchmark throughputs; there are {SHOWN[0]}" in output.decode()
