"""Plugins for tests: a distribution written into a folder, and the example package installed into one."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.support.payments import NOW
from worker.plugins.bound import Bound
from worker.plugins.registry import GROUPS
from worker.routing.problems import Problem
from worker.routing.questions import Kind, Question, Use
from worker.routing.uses import Refused

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example_plugin"
EXAMPLE_NAMES = ("odd_hours", "blocked_customers", "risk_score", "loyalty", "rate_table")


def write_distribution(
    folder: Path,
    module: str,
    source: str,
    offers: Mapping[Kind, Mapping[str, str]],
    distribution: str = "test-plugins",
    version: str = "0.1",
) -> Path:
    """Write a module with the metadata that an installed distribution has; ``offers`` name its classes."""
    (folder / f"{module}.py").write_text(dedent(source))
    metadata = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = []
    for kind, entries in offers.items():
        lines.append(f"[{GROUPS[kind]}]")
        lines += [f"{name} = {module}:{class_}" for name, class_ in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def install_example(folder: Path) -> Path:
    """Install the example package as pip does, from its own folder, without its dependencies."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(folder), str(EXAMPLE)]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=60)
    return folder


DEADLINE = 0.1
"""How long one call of ``question`` may take where a test does not say."""


def question(
    call: Callable[..., Any],
    name: str = "one",
    deadline: float = DEADLINE,
    kind: Kind = Kind.STEP,
    make: Callable[[], Callable[..., Any]] | None = None,
    ready: float = 5.0,
) -> Question:
    """Return a question to a function, as if it were a plugin's method; ``make`` makes another one."""
    bound = Bound(
        f"{kind.value} {name}", call, make or (lambda: call), iscoroutinefunction(call), deadline, ready
    )
    return Question(Use(kind, name, "{}", bound), (), ("a", NOW))


async def until(condition: Callable[[], object], seconds: float = 3.0) -> None:
    """Poll until the condition holds; fail when the time is over."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


MISBEHAVING = """
    import asyncio
    import sys
    import threading
    import time

    from worker.plugins import Arguments, Continue, Reject, Retry

    class Behaviour(Arguments):
        how: str = "well"

    class ByCustomer:
        '''Behaves as the customer's id says.'''

        arguments = Behaviour
        deadline_seconds = 0.15

        def __init__(self, arguments):
            self.calls = []

        def check(self, payment, now):
            match payment.customer_id:
                case "raises":
                    raise RuntimeError("the service is down")
                case "exits":
                    raise SystemExit(1)
                case "hangs":
                    threading.Event().wait(3)
                case "nonsense":
                    return "yes"
                case "retries":
                    return Retry("not yet")
                case "rejects":
                    return Reject("not_wanted", "the step says so")
                case "once":
                    self.calls.append(payment.payment_id)
                    if len(self.calls) < 2:
                        raise OSError("only the first time")
            return Continue({"seen": True})

    class ByCustomerAsync(ByCustomer):
        async def check(self, payment, now):
            match payment.customer_id:
                case "hangs":
                    await asyncio.sleep(30)
                case "blocks":
                    time.sleep(2)
                case "ignores":
                    for _ in range(3):
                        try:
                            await asyncio.sleep(0.3)
                        except asyncio.CancelledError:
                            pass
                case "cancels":
                    raise asyncio.CancelledError
                case _:
                    return super().check(payment, now)

    class Vip:
        deadline_seconds = 0.15

        def __init__(self, arguments):
            pass

        def holds(self, payment, now):
            match payment.customer_id:
                case "raises":
                    raise RuntimeError
                case "hangs":
                    time.sleep(1)
                case "nonsense":
                    return 1
            return payment.customer_id == "vip"

    class SlowToMake(Arguments):
        seconds: str

    class Slow:
        '''Takes so long to be made.'''

        arguments = SlowToMake
        ready_seconds = 1.5

        def __init__(self, arguments):
            print(type(self).__name__, "is being made", file=sys.stderr, flush=True)
            time.sleep(float(arguments.seconds))

        def check(self, payment, now):
            return Continue({"slow": True})

    class VerySlow(Slow):
        ready_seconds = 60

    class Tax:
        def __init__(self, arguments):
            pass

        def fees(self, payment, amount):
            odd = {"negative": {"tax": -1}, "fraction": {"tax": 0.5}, "much": {"tax": 10**9}}
            return odd.get(payment.customer_id, {"tax": 7})
"""
"""Plugins that behave as a payment's customer says."""
MISBEHAVING_OFFERS: Mapping[Kind, Mapping[str, str]] = {
    Kind.STEP: {
        "by_customer": "ByCustomer",
        "by_customer_async": "ByCustomerAsync",
        "slow": "Slow",
        "very_slow": "VerySlow",
    },
    Kind.PREDICATE: {"vip": "Vip"},
    Kind.FEES: {"tax": "Tax"},
}
MISBEHAVING_NAMES = ("by_customer", "by_customer_async", "slow", "very_slow", "vip", "tax")


@dataclass(frozen=True, slots=True)
class AnyPlugin:
    """A catalogue that has a plugin for every name but ``unknown``; nothing is bound to it."""

    def use(self, kind: Kind, name: str, arguments: Mapping[str, Any]) -> Use:
        """Return the use, unless the name is ``unknown`` or there is an argument ``wrong``."""
        if name == "unknown":
            raise Refused((Problem((), "unknown plugin"),), on_name=True)
        if "wrong" in arguments:
            raise Refused((Problem(("wrong",), "a wrong argument"),))
        return Use(kind, name, json.dumps(arguments, sort_keys=True))


def says(**answers: object) -> Callable[[Question], object]:
    """Answer questions by the plugin's name; a callable is called with what the plugin was given."""

    def ask(question: Question) -> object:
        answer = answers[question.use.name]
        return answer(*question.given) if callable(answer) else answer

    return ask
