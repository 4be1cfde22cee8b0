"""The benchmarks in turn: ``python -m benchmarks [--quick] [--rounds N] [--all] [NAME ...]``.

Without names, those that the README and ``summary.json`` show. A benchmark that fails does not stop the
others. Options beside these are handed on. A run that is kept fills the documents, and says which aims are
missed.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.aims import missed
from benchmarks.results import summaries

SHOWN = ("startup", "throughput", "batches", "latency", "scaling", "endurance")
"""In the order in which they run."""
STEPS = ("worker_steps", "data_plane_steps")
"""Seconds each, and they explain the others."""
ASIDE = ("money", "routing", "data_plane", "journal")
"""Questions of their own, minutes each; run by name, or with --all."""
WITH_ROUNDS = frozenset({*SHOWN, "data_plane"})
"""Those that take --rounds."""
FOLDER = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Run the named modules, or those shown; return how many failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = [name for name in (*SHOWN, *STEPS, *ASIDE) if (FOLDER / f"{name}.py").exists()]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="a few minutes for all; no results are kept")
    parser.add_argument("--rounds", type=int, help="rounds of each contestant, where there are rounds")
    parser.add_argument("--all", action="store_true", help=f"also {', '.join(ASIDE)}")
    options, others = parser.parse_known_args(arguments)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = options.names or [name for name in known if options.all or name not in ASIDE]
    failed = []
    began = time.monotonic()
    for number, name in enumerate(wanted, start=1):
        minutes = (time.monotonic() - began) / 60
        print(f"== {name} ({number} of {len(wanted)}, after {minutes:.1f} minutes)", flush=True)
        rounds = ["--rounds", str(options.rounds)] if options.rounds and name in WITH_ROUNDS else []
        if not _run(name, [*(["--quick"] if options.quick else []), *rounds, *others]):
            failed.append(name)
    print(f"== done after {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    if not options.quick:
        failed += [] if _run("readme", []) else ["readme"]
        for line in missed(summaries()):
            print(f"missed: {line}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def _run(name: str, options: list[str]) -> bool:
    """Run one module; whether it succeeded."""
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
