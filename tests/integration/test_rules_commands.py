"""The rule commands as people run them: output, exit codes, reports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RULES = Path(__file__).parents[2] / "routing_rules"
EXAMPLES = sorted(
    path for path in (RULES / "examples").glob("*.yaml") if not path.name.endswith(".test.yaml")
)


def run(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", "rules", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin, check=False)


def payment(number: int, **fields: object) -> dict[str, object]:
    base: dict[str, object] = {
        "payment_id": f"pay-{number}",
        "type": "card",
        "amount": {"value": "12.34", "currency": "EUR"},
        "merchant_id": "studio-dune",
        "country": "DE",
        "created_at": "2026-01-07T12:00:00Z",
    }
    return {**base, **fields}


@pytest.fixture
def traffic(tmp_path) -> Path:
    """Fifty payments: cards, transfers, small ones, an embargoed one, and a line that is none."""
    lines = [json.dumps(payment(i)) for i in range(20)]
    lines += [json.dumps(payment(i, type="bank_transfer")) for i in range(20, 30)]
    lines += [json.dumps(payment(i, amount={"value": "0.99", "currency": "EUR"})) for i in range(30, 49)]
    lines += [json.dumps(payment(49, country="KP")), "not json"]
    path = tmp_path / "traffic.ndjson"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def changed(tmp_path) -> Path:
    """The default rules with European cards sent the other way round."""
    text = (RULES / "default.yaml").read_text()
    old = "to: aurora, fallback: [borealis], fees: cards"
    assert old in text
    path = tmp_path / "changed.yaml"
    path.write_text(text.replace(old, "to: borealis, fallback: [aurora], fees: cards"))
    return path


@pytest.mark.parametrize("path", [RULES, *EXAMPLES], ids=lambda path: path.name)
def test_shipped_rules_are_sound(path):
    """Every rule file that ships loads without errors and warnings."""
    done = run("check", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The rules are sound" in done.stdout


def test_shipped_rules_do_what_their_tests_say():
    """Each shipped file has a tests file beside it, and all of it passes."""
    done = run("test", RULES)
    assert done.returncode == 0, done.stdout
    assert {path.stem for path in [RULES / "default.yaml", *EXAMPLES]} == {
        path.name.removesuffix(".test.yaml") for path in RULES.rglob("*.test.yaml")
    }


def test_check_shows_errors_with_their_place(tmp_path):
    """Errors go to stderr with file, line and column, and the exit code is 1."""
    path = tmp_path / "r.yaml"
    path.write_text(
        "version: 1\nrules:\n  - {name: a, when: {curency: EUR}, route: {to: x}}\ndefault: {hold: x}\n"
    )
    done = run("check", path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{path}:3:22: unknown field 'curency'; did you mean currency?" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_fails_on_warnings(tmp_path):
    """A dead rule is shown with its place and a payment, and the exit code is 1."""
    path = tmp_path / "r.yaml"
    path.write_text(
        "version: 1\nprocessors: {p: {}}\nrules:\n"
        "  - {name: all, when: {}, route: {to: p}}\n  - {name: late, when: {type: card}, route: {to: p}}\n"
        "default: {hold: x}\n"
    )
    done = run("check", path)
    assert done.returncode == 1
    assert (
        f"{path}:5:12: warning: rule late can never fire: rule all takes every payment it describes"
        in done.stdout
    )
    assert '  payment: {"payment_id": "witness-1"' in done.stdout
    assert run("check", path, "--no-lint").returncode == 0
    done = run("check", path, "--json")
    assert done.returncode == 1
    first = json.loads(done.stdout)["findings"][0]
    assert (first["severity"], first["code"], first["line"], first["column"]) == ("warning", "covered", 5, 12)
    assert first["witness"]["payment"]["type"] == "card"


def test_explain_tells_the_way(tmp_path):
    """The rules tried, what failed first, candidates, fees and the rounding are all there, in exact text."""
    done = run(
        "explain", "-", "--rules", RULES, "--now", "2026-01-07T12:00:00Z", stdin=json.dumps(payment(1))
    )
    assert done.returncode == 0, done.stderr
    assert "country is one of CU, IR, KP, SY" in done.stdout
    assert "Goes to borealis" not in done.stdout
    assert "Goes to aurora" in done.stdout
    assert "passes one over while its circuit breaker is open" in done.stdout
    assert "Gross 12.34" in done.stdout
    assert "processing: 0.60786 -> 0.61 EUR (half_even, remainder -0.00214)" in done.stdout


def test_explain_as_json(tmp_path):
    """The same as data, for other programs."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps(payment(1, type="wallet", amount={"value": "1.50", "currency": "EUR"})))
    done = run("explain", path, "--rules", RULES, "--json")
    found = json.loads(done.stdout)
    assert found["rule"] == "micro-purchases"
    assert found["processor"] == "coinbox"
    assert found["trials"][0]["failed"] == {
        "condition": "country is one of CU, IR, KP, SY",
        "actual": "country is DE",
    }
    assert found["trials"][-1] == {"rule": "micro-purchases", "failed": None}
    assert found["skipped"] == [{"processor": "aurora", "reason": "it takes card, not wallet"}]
    assert found["rounding"][0]["exact"] == "0.075"


def test_explain_refuses_what_is_no_payment():
    """Input that is no payment is one readable block."""
    done = run("explain", "-", "--rules", RULES, stdin='{"payment_id": 3}')
    assert done.returncode == 1
    assert "stdin is not a payment: invalid_payment: payment_id: expected 1 to 64" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "value, currency, code",
    [
        ("-1.00", "EUR", "amount_not_positive"),
        ("1.00", "EUX", "unknown_currency"),
        ("1e3", "EUR", "invalid_amount"),
    ],
)
def test_explain_says_when_rules_are_never_asked(value, currency, code):
    """A payment that is refused before routing says so with its code."""
    text = json.dumps(payment(1, amount={"value": value, "currency": currency}))
    done = run("explain", "-", "--rules", RULES, stdin=text)
    assert done.returncode == 1
    assert done.stderr.startswith(f"refused before routing: {code}: ")


def test_simulate_counts_every_payment(traffic):
    """The cells add up to the readable payments, with exact sums."""
    done = run("simulate", traffic, "--rules", RULES, "--json")
    found = json.loads(done.stdout)
    cells = {cell["rule"]: cell for cell in found["cells"]}
    assert found["payments"] == 50
    assert cells["european-cards"]["payments"] == 20
    assert cells["european-cards"]["amount"] == "246.80"
    assert cells["european-cards"]["fees"] == "12.20"
    assert cells["micro-purchases"]["amount"] == "18.81"
    assert cells["embargo"]["destination"] == "embargoed_country"
    assert "1 line of" in done.stderr
    assert "line 51" in done.stderr


def test_simulate_as_a_table(traffic):
    """People get a table and a sum."""
    done = run("simulate", traffic, "--rules", RULES)
    assert "european-cards" in done.stdout
    assert "50 payments: 49 to processors, 1 dead-lettered." in done.stdout


def test_diff_of_equal_rules_is_quiet(traffic):
    """Nothing moves: exit code 0."""
    done = run("diff", RULES, RULES, "--payments", traffic)
    assert done.returncode == 0
    assert "0 of 50 payments move, 0 more stay and pay other fees." in done.stdout


def test_diff_says_what_moves(traffic, changed):
    """Moves are shown from where to where with count, amount and cost, and the exit code is 3."""
    done = run("diff", RULES, changed, "--payments", traffic, "--json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert (found["payments"], found["moved"], found["repriced"]) == (50, 20, 0)
    (flow,) = found["flows"]
    assert (flow["from"], flow["to"], flow["currency"], flow["payments"]) == ("aurora", "borealis", "EUR", 20)
    assert flow["amount"] == "246.80"
    # aurora: 0.04 + 0.13 a payment; borealis: 0.27
    assert flow["cost_difference"] == "2.00"
    assert flow["rules"] == [{"old": "european-cards", "new": "european-cards", "payments": 20}]


def test_diff_notices_other_fees(traffic, tmp_path):
    """A payment that stays and pays other fees counts as a change."""
    text = (RULES / "default.yaml").read_text()
    path = tmp_path / "dearer.yaml"
    path.write_text(text.replace('percent: "5"', 'percent: "6"'))
    done = run("diff", RULES, path, "--payments", traffic)
    assert done.returncode == 3
    assert "0 of 50 payments move, 19 more stay and pay other fees." in done.stdout


def test_diff_of_broken_rules(traffic, tmp_path):
    """Broken rules are exit code 1, not a move."""
    path = tmp_path / "broken.yaml"
    path.write_text("version: 1\n")
    assert run("diff", RULES, path, "--payments", traffic).returncode == 1


def test_graph_as_mermaid_and_svg(tmp_path):
    """Both forms name every rule and processor; the image is well-formed XML."""
    from xml.etree import ElementTree as ET

    text = run("graph", RULES).stdout
    picture = tmp_path / "rules.svg"
    assert run("graph", RULES, "--format", "svg", "-o", picture).returncode == 0
    ET.fromstring(picture.read_text())  # noqa: S314 - our own output
    for name in ("european-cards", "aurora", "dead letters"):
        assert name in text
        assert name in picture.read_text()


def test_rules_test_reports_failures(tmp_path):
    """A failing test names what was expected and what came, and the exit code is 1."""
    (tmp_path / "r.yaml").write_text("version: 1\nprocessors: {p: {}}\ndefault: {to: p}\n")
    tests = tmp_path / "r.test.yaml"
    tests.write_text(
        "version: 1\ntests:\n"
        "  - {name: right, payment: {}, expect: {processor: p, rule: default}}\n"
        "  - {name: wrong, payment: {}, expect: {processor: q, held: true}}\n"
        "  - {name: no payment, payment: {country: XX}, expect: {held: true}}\n"
    )
    done = run("test", tmp_path)
    assert done.returncode == 1
    assert f"passed {tests}: right" in done.stdout
    assert (
        f"FAILED {tests}: wrong\n    processor: expected q, got p\n    held: expected true, got false"
        in done.stdout
    )
    assert "the payment is none: country: not an assigned ISO 3166-1 alpha-2 code" in done.stdout
    assert "1 passed, 2 failed, in 1 file" in done.stdout


def test_a_broken_tests_file_is_located(tmp_path):
    """Mistakes in a tests file have their place too."""
    (tmp_path / "r.yaml").write_text("version: 1\ndefault: {hold: x}\n")
    tests = tmp_path / "r.test.yaml"
    tests.write_text("version: 1\ntests:\n  - {name: a, payment: {}, expect: {procesor: p}}\n")
    done = run("test", tests)
    assert done.returncode == 1
    assert f"{tests}:3:37: unknown field 'procesor'; did you mean processor?" in done.stderr


def test_a_tests_file_that_tests_nothing(tmp_path):
    """Misspelt payment fields, names used twice and empty expectations are errors, all at once."""
    (tmp_path / "r.yaml").write_text("version: 1\ndefault: {hold: x}\n")
    tests = tmp_path / "r.test.yaml"
    tests.write_text(
        "version: 1\ntests:\n"
        "  - {name: a, payment: {contry: DE}, expect: {held: true}}\n"
        "  - {name: a, payment: {}, expect: {}}\n"
    )
    done = run("test", tests)
    assert done.returncode == 1
    assert f"{tests}:3:25: a payment has no field 'contry'; did you mean country?" in done.stderr
    assert f"{tests}:4:12: a test named 'a' is already there, as test 1" in done.stderr
    assert f"{tests}:4:36: nothing is expected; write at least one of rule, processor" in done.stderr
