"""``payment-worker rules test``: assertions in YAML beside the rules."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.rules_options import EXIT_WRONG, counted, fail, loaded, own_rules, planned

if TYPE_CHECKING:
    from schemas.rule_tests import RuleTests
    from worker.routing.questions import Ask

SUFFIX = ".test.yaml"


def run_tests(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...",
            help=f"Test files, or folders searched for *{SUFFIX}, subfolders too. Default: beside the "
            "worker's own rules.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only failures and the count.")] = False,
) -> None:
    """Run rules tests: payments with what the rules should do to them. Exit code 1 when one fails."""
    from worker.plugins.calls import CallerNow

    paths = files or own_rules([])[0]
    found = [file for path in paths for file in _tests_of(path)]
    if not found:
        raise fail(f"there are no *{SUFFIX} files in {', '.join(map(str, paths))}")
    passed = failed = unread = 0
    for file in found:
        try:
            with CallerNow() as caller:
                results = _run(file, caller.ask)
        except typer.Exit:  # what is wrong is said already; the other files are worth a look
            unread += 1
            continue
        for name, problems in results:
            if problems:
                failed += 1
                details = "".join(f"    {problem}\n" for problem in problems)
                sys.stdout.write(f"FAILED {file}: {name}\n{details}")
            else:
                passed += 1
                if not quiet:
                    sys.stdout.write(f"passed {file}: {name}\n")
    more = f"; {counted(unread, 'file')} could not be run" if unread else ""
    sys.stdout.write(f"{passed} passed, {failed} failed, in {counted(len(found), 'file')}{more}\n")
    if failed or unread:
        raise typer.Exit(EXIT_WRONG)


def _tests_of(path: Path) -> list[Path]:
    """Return the test files that a path stands for: a folder's, a rule file's own, or itself."""
    if path.is_dir():
        return sorted(path.rglob(f"*{SUFFIX}"))
    beside = path.with_name(path.name.removesuffix(".yaml") + SUFFIX)
    return [path if path.name.endswith(SUFFIX) or not beside.is_file() else beside]


def _run(file: Path, ask: "Ask") -> list[tuple[str, list[str]]]:
    from datetime import datetime

    from pydantic import ValidationError

    from worker.codec import explained
    from worker.routing.assertions import mismatches, payment_of

    tests = _read(file)
    names = tests.rules or [file.name.removesuffix(SUFFIX) + ".yaml"]
    overlays = [file.parent / name for name in tests.overlays]
    table = loaded([file.parent / name for name in names], overlays).table
    results = []
    for one in tests.tests:
        try:
            payment = payment_of(one.payment)
            now = datetime.fromisoformat(one.now or tests.now)
            results.append((one.name, mismatches(table, payment, now, one.expect, ask, planned)))
        except ValidationError as error:
            results.append((one.name, [f"the payment is none: {explained(error)}"]))
        except ValueError as error:
            results.append((one.name, [str(error)]))
    return results


def _read(file: Path) -> "RuleTests":
    from worker.errors import InvalidRules
    from worker.rules_file import load_tests

    try:
        return load_tests(file)
    except InvalidRules as error:
        raise fail(error) from None
