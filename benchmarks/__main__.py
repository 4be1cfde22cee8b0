"""Every benchmark in turn: ``python -m benchmarks [--quick] [NAME ...]``."""

import subprocess
import sys
from pathlib import Path

SHARED = {
    "__main__",
    "charts",
    "contest",
    "filled_journals",
    "harness",
    "line_up",
    "results",
    "rule_files",
    "usage",
}


def main(arguments: list[str]) -> int:
    """Run the named modules, or all; return how many failed."""
    folder = Path(__file__).parent
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem not in SHARED)
    wanted = [argument for argument in arguments if not argument.startswith("-")] or names
    options = [argument for argument in arguments if argument.startswith("-")]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    failed = [name for name in wanted if not _run(name, options)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def _run(name: str, options: list[str]) -> bool:
    """Run one module; whether it succeeded."""
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
