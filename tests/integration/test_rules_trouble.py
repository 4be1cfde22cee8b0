"""The rule commands when something is off: where to write, where rules come from, errors as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RULES = """\
version: 1
processors: {p: {}, q: {}}
rules:
  - {name: brief, when: {currency: EUR}, route: {to: p, expires_after_seconds: 60}}
default: {hold: x}
"""
PAYMENT = {
    "payment_id": "pay-1",
    "type": "card",
    "amount": {"value": "12.34", "currency": "EUR"},
    "merchant_id": "m",
    "created_at": "2026-01-07T12:00:00Z",
}
NOW = ("--now", "2026-01-08T12:00:00Z")


def run(
    *arguments: object, folder: Path, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", "rules", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        input=stdin,
        check=False,
        cwd=folder,
        env={**os.environ, **env},
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with rules, an overlay, and one payment."""
    (tmp_path / "r.yaml").write_text(RULES)
    overlay = "version: 1\nrules: [{name: brief, route: {to: q, expires_after_seconds: 172800}}]\n"
    (tmp_path / "over.yaml").write_text(overlay)
    (tmp_path / "p.json").write_text(json.dumps(PAYMENT) + "\n")
    return tmp_path


def test_explain_says_that_a_payment_is_expired(folder):
    """A payment that its route is too late for is dead-lettered, in text and as data."""
    done = run("explain", "p.json", "--rules", "r.yaml", *NOW, folder=folder)
    assert "Dead-lettered as expired: created at 2026-01-07T12:00:00Z" in done.stdout
    assert "Goes to" not in done.stdout
    found = json.loads(run("explain", "p.json", "--rules", "r.yaml", "--json", *NOW, folder=folder).stdout)
    assert (found["outcome"], found["code"], found["processor"]) == ("refused", "expired", None)


def test_simulate_reads_stdin_and_counts_the_expired(folder):
    """Payments may come by a pipe; an expired one is dead-lettered, with its rule and amount."""
    text = (folder / "p.json").read_text()
    done = run("simulate", "-", "--rules", "r.yaml", "--json", *NOW, folder=folder, stdin=text)
    (cell,) = json.loads(done.stdout)["cells"]
    assert (cell["rule"], cell["outcome"], cell["destination"]) == ("brief", "refused", "expired")
    assert cell["amount"] == "12.34"


def test_the_workers_own_rules_are_the_default(folder):
    """Without a path the commands use the rules of the worker's environment, and say which."""
    env = {"PAYMENT_WORKER_RULES": "r.yaml", "PAYMENT_WORKER_OVERLAYS": "over.yaml"}
    done = run("explain", "p.json", *NOW, folder=folder, **env)
    assert "Goes to q." in done.stdout
    assert done.stderr == "Rules: r.yaml with overlay over.yaml\n"
    assert "The rules are sound" not in run("check", folder=folder).stdout


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"payment_id": "a", "payment_id": "b"}', "duplicate_key"),
        (json.dumps(PAYMENT).replace('"12.34"', "12.34"), "amount_not_text"),
        (json.dumps(PAYMENT).replace('"pay-1"', '"pay 1"'), "invalid_identifier"),
        ("[]", "malformed_message"),
    ],
)
def test_payments_are_read_as_the_worker_reads_them(folder, text, code):
    """What it would dead-letter is not explained as if it were sent, and is no part of a simulation."""
    explained = run("explain", "-", "--rules", "r.yaml", *NOW, folder=folder, stdin=text)
    assert explained.stderr.startswith(f"stdin is not a payment: {code}: ")
    simulated = run("simulate", "-", "--rules", "r.yaml", *NOW, folder=folder, stdin=text + "\n")
    assert "1 line of stdin could not be read as payments" in simulated.stderr
    assert f"  line 1: {code}: " in simulated.stderr


@pytest.mark.parametrize("now", ["2026", "2026-01-07T12:00", "noon"])
def test_a_time_that_is_none(folder, now):
    """A moment without an offset would depend on the machine."""
    done = run("explain", "p.json", "--rules", "r.yaml", "--now", now, folder=folder)
    assert done.returncode == 2
    assert f"'{now}' is no date and time with an offset, such as 2026-01-31T09:00Z" in done.stderr


def test_a_processor_that_converts(folder):
    """Without rates of its own the worker names the settlement currency, and explain says so."""
    rules = (folder / "r.yaml").read_text().replace("{to: p", "{settlement_currency: USD, to: p")
    (folder / "r.yaml").write_text(rules)
    arguments = ("explain", "p.json", "--rules", "r.yaml", *NOW)
    assert "Settles in USD: the processor converts." in run(*arguments, folder=folder).stdout
    found = json.loads(run(*arguments, "--json", folder=folder).stdout)
    assert found["settlement"] == {"currency": "USD"}


def test_a_graph_for_a_file_is_of_the_files_kind(folder):
    """``-o rules.svg`` is an image without another word; elsewhere it is text for Mermaid."""
    assert run("graph", "r.yaml", "-o", "rules.svg", folder=folder).returncode == 0
    assert run("graph", "r.yaml", "-o", "rules.txt", folder=folder).returncode == 0
    assert (folder / "rules.svg").read_text().startswith("<svg")
    assert (folder / "rules.txt").read_text().startswith("flowchart")


GOOD_TEST = 'version: 1\ntests: [{name: a, payment: {amount: "1 USD"}, expect: {rule: default}}]\n'


def test_rules_tests_are_found(folder):
    """By the rule file that they stand beside, or beside the worker's own rules."""
    (folder / "r.test.yaml").write_text(GOOD_TEST)
    assert "1 passed, 0 failed, in 1 file" in run("test", "r.yaml", folder=folder).stdout
    own = run("test", folder=folder, PAYMENT_WORKER_RULES="r.yaml")
    assert "1 passed, 0 failed, in 1 file" in own.stdout


def test_a_broken_test_file_hides_no_other(folder):
    """Each is reported, the sound ones run, and the exit code is 1."""
    (folder / "r.test.yaml").write_text(GOOD_TEST)
    (folder / "s.test.yaml").write_text("version: 1\ntests: [{nam: a}]\n")
    (folder / "t.test.yaml").write_text(GOOD_TEST.replace("tests:", "now: '2026-01-07T12:00:00'\ntests:"))
    (folder / "u.yaml").write_text(RULES)
    done = run("test", "r.test.yaml", "s.test.yaml", "t.test.yaml", "u.yaml", folder=folder)
    assert done.returncode == 1
    assert "1 passed, 0 failed, in 4 files; 3 files could not be run" in done.stdout
    assert "s.test.yaml:2:10: unknown field 'nam'; did you mean name?" in done.stderr
    assert "t.test.yaml:2:6: '2026-01-07T12:00:00' is not a date and time with an offset" in done.stderr
    assert "u.yaml:1:1: this is a rule file; its tests stand beside it in u.test.yaml" in done.stderr


def test_diff_takes_an_overlay(folder):
    """An overlay is laid over both sides, so that equal files stay equal."""
    (folder / "new.yaml").write_text(RULES.replace("to: p", "to: q"))
    arguments = ("diff", "r.yaml", "new.yaml", "--payments", "p.json", "--now", "2026-01-07T12:00:00Z")
    assert run(*arguments, folder=folder).returncode == 3
    assert run(*arguments, "--overlay", "over.yaml", folder=folder).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("graph", "r.yaml", "-o", "nowhere/x"),
        ("diff", "r.yaml", "r.yaml", "--payments", "p.json", "--html", "nowhere/x"),
    ],
)
def test_a_place_that_cannot_be_written(folder, arguments):
    """One readable line says why, before anything is computed."""
    done = run(*arguments, folder=folder)
    assert done.returncode == 1
    assert done.stderr == "nowhere/x: cannot be written: there is no folder nowhere; make it first\n"
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [("check", "bad.yaml"), ("explain", "p.json", "--rules", "bad.yaml")])
def test_errors_as_json(folder, arguments):
    """Broken rules give findings of severity error with their places, and exit code 1."""
    (folder / "bad.yaml").write_text(RULES.replace("currency: EUR", "curency: EUR"))
    done = run(*arguments, "--json", folder=folder)
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["severity"], finding["code"]) == ("error", "invalid_rules")
    assert (finding["file"], finding["line"], finding["column"]) == ("bad.yaml", 4, 26)
    assert "did you mean currency?" in finding["message"]


def test_a_payment_that_is_none_as_json(folder):
    """What is no payment is an error as data, too."""
    done = run("explain", "-", "--rules", "r.yaml", "--json", folder=folder, stdin="{}")
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["code"] == "invalid_payment"
