"""Plugins as an operator meets them: listed, checked, run by real processes, reloaded by saving a file."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.bodies import payment
from tests.support.books import Books
from tests.support.command import StartWorker, run_command, wait_until
from tests.support.plugins import EXAMPLE, EXAMPLE_NAMES, install_example

ALLOWED = ",".join(EXAMPLE_NAMES)
PAYMENTS = 200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, installed by pip."""
    return install_example(tmp_path_factory.mktemp("site"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the example's rules and what they read."""
    for name in ("rules.yaml", "blocked.txt"):
        (tmp_path / name).write_bytes((EXAMPLE / name).read_bytes())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    (tmp_path / "rates.txt").write_text(f"EUR USD 1.0812 {now}\n")
    return tmp_path


def environment(site: Path, allowed: str = ALLOWED) -> dict[str, str]:
    return {"PYTHONPATH": str(site), "PAYMENT_WORKER_PLUGINS": allowed}


def card(number: int = 1, customer: str = "player-2", **more: Any) -> bytes:
    return payment(f"pay-{number}", customer_id=customer, value="100.00", **more)


def test_the_list_of_plugins(site: Path) -> None:
    """Each with its distribution, whether it is allowed, and the arguments of those that are."""
    said = run_command("plugins", "--json", env=environment(site, "loyalty,odd_hours"))
    assert said.returncode == 0, said.stderr
    rows = {row["name"]: row for row in json.loads(said.stdout)}
    assert rows.keys() == set(EXAMPLE_NAMES)
    assert {row["distribution"] for row in rows.values()} == {"example-payment-plugins"}
    assert {row["version"] for row in rows.values()} == {"1.2.0"}
    assert {name for name, row in rows.items() if row["allowed"]} == {"loyalty", "odd_hours"}
    assert "arguments" not in rows["risk_score"]
    assert rows["loyalty"]["arguments"]["required"] == ["basis_points"]
    assert (rows["odd_hours"]["kind"], rows["odd_hours"]["deadline_seconds"]) == ("predicate", 0.2)


def test_the_list_for_people(site: Path) -> None:
    """One line a plugin; what is not allowed is not imported and shows no arguments."""
    said = run_command("plugins", env=environment(site, "loyalty"))
    (loyalty,) = [line for line in said.stdout.splitlines() if " loyalty " in line]
    assert "yes" in loyalty
    assert "basis_points: integer; discount_by_level: integer = 0" in loyalty
    (other,) = [line for line in said.stdout.splitlines() if " risk_score " in line]
    assert " no " in other
    assert "milliseconds" not in other


def test_nothing_installed() -> None:
    """It says so."""
    said = run_command("plugins", env={"PYTHONPATH": ""})
    assert (said.returncode, said.stdout) == (0, "No plugins are installed.\n")


@pytest.mark.parametrize("command", ["plugins", "run"])
def test_an_allowed_name_that_nothing_offers(site: Path, folder: Path, command: str) -> None:
    """It stops the start, and the list says it too, with the nearest name."""
    said = run_command(command, env=environment(site, "loyalti"), folder=folder)
    assert said.returncode == 2
    assert (
        "'loyalti' is allowed, but no installed distribution offers it; did you mean loyalty?" in said.stderr
    )


def test_checking_rules(site: Path, folder: Path) -> None:
    """They are sound where all is allowed; what is not, or is misspelt, has its place."""
    sound = run_command("rules", "check", "rules.yaml", env=environment(site), folder=folder)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    some = run_command("rules", "check", "rules.yaml", env=environment(site, "risk_score"), folder=folder)
    assert some.returncode == 1
    assert "rules.yaml:10:14: step plugin 'blocked_customers' is installed" in some.stderr
    rules = folder / "rules.yaml"
    rules.write_text(rules.read_text().replace("odd_hours: {ends: 4}", "odd_hour: {ends: 4}"))
    wrong = run_command("rules", "check", "rules.yaml", env=environment(site), folder=folder)
    assert wrong.returncode == 1
    assert "rules.yaml:28:33: unknown predicate plugin 'odd_hour'; did you mean odd_hours?" in wrong.stderr


def test_rules_without_plugins_need_no_settings(folder: Path) -> None:
    """The settings are not even read, so that a broken variable is nothing to a rule check."""
    (folder / "plain.yaml").write_text("version: 1\nprocessors: {alpha: {}}\ndefault: {to: alpha}\n")
    broken = {"PAYMENT_WORKER_PREFETCH": "many"}
    assert run_command("rules", "check", "plain.yaml", env=broken, folder=folder).returncode == 0
    said = run_command("rules", "check", "rules.yaml", env=broken, folder=folder)
    assert said.returncode == 1
    assert "PAYMENT_WORKER_PREFETCH" in said.stderr


def test_explaining_a_payment(site: Path, folder: Path) -> None:
    """Explanations ask plugins, as the worker would."""
    (folder / "p.json").write_bytes(card())
    arguments = ("rules", "explain", "p.json", "--rules", "rules.yaml")
    said = run_command(*arguments, env=environment(site), folder=folder)
    assert "Step risk lets it pass and adds metadata.risk.score = 9." in said.stdout
    assert "plugin odd_hours says no" in said.stdout
    assert "Gross 100.00, fees service 2.50, net 97.50." in said.stdout
    assert "Settles 105.42 USD, at 1.0812 by treasury." in said.stdout
    found = json.loads(run_command(*arguments, "--json", env=environment(site), folder=folder).stdout)
    assert (found["steps"], found["enrichment"]) == (["blocked", "risk"], {"risk.score": 9})
    assert found["settlement"]["amount"] == "105.42 USD"


def test_simulating_and_comparing(site: Path, folder: Path) -> None:
    """Both ask plugins; a payment that a plugin does not answer for is counted as undecided."""
    lines = [card(n, "player-9" if n == 3 else "player-2").decode() for n in range(5)]
    (folder / "all.ndjson").write_text("\n".join(lines))
    simulated = run_command(
        "rules",
        "simulate",
        "all.ndjson",
        "--rules",
        "rules.yaml",
        "--json",
        env=environment(site),
        folder=folder,
    )
    cells = {one["destination"]: one["payments"] for one in json.loads(simulated.stdout)["cells"]}
    assert cells == {"aurora": 4, "customer_blocked": 1}
    (folder / "new.yaml").write_text(
        (folder / "rules.yaml").read_text().replace("points: 250", "points: 100")
    )
    arguments = ("rules", "diff", "rules.yaml", "new.yaml", "--payments", "all.ndjson")
    compared = run_command(*arguments, env=environment(site), folder=folder)
    assert compared.returncode == 3
    assert "0 of 5 payments move, 4 more stay and pay other fees." in compared.stdout


def test_what_a_plugin_does_not_answer_is_undecided(site: Path, folder: Path) -> None:
    """Nobody is told that a payment is dead when in truth nobody knows."""
    (folder / "rates.txt").unlink()
    (folder / "all.ndjson").write_bytes(card())
    (folder / "blocked.txt").write_text("")
    text = (folder / "rules.yaml").read_text()
    (folder / "rules.yaml").write_text(text.replace("{risk_score: {}}", "{risk_score: {milliseconds: 1000}}"))
    (folder / "slow.py").write_text(
        "from example_payment_plugins.steps import RiskScore\nRiskScore.deadline_seconds = 0.05\n"
    )
    (folder / "sitecustomize.py").write_text("import slow\n")
    env = environment(site) | {"PYTHONPATH": f"{site}:{folder}"}
    said = run_command("rules", "simulate", "all.ndjson", "--rules", "rules.yaml", env=env, folder=folder)
    assert "undecided: step_unavailable" in said.stdout, said.stdout + said.stderr
    assert "1 payment: 0 to processors, 0 dead-lettered, 1 undecided: no answer of a plugin" in said.stdout


def test_rules_tests_with_plugins(site: Path, folder: Path) -> None:
    """Assertions beside the rules ask plugins too."""
    (folder / "rules.test.yaml").write_text(
        "version: 1\ntests:\n"
        '  - {name: day, payment: {customer_id: player-2, amount: "100 EUR"},'
        ' expect: {rule: cards, fees: {service: "2.50"}}}\n'
        "  - {name: blocked, payment: {customer_id: player-9}, expect: {rejected: customer_blocked}}\n"
    )
    said = run_command("rules", "test", "rules.test.yaml", env=environment(site), folder=folder)
    assert "2 passed, 0 failed" in said.stdout, said.stdout + said.stderr


# --- the worker ---------------------------------------------------------------------------------------------


@pytest.fixture
def rules(tmp_path: Path, prefix: str, folder: Path) -> Path:
    """The example's rules with this test's exchanges, and files named in full."""
    text = (folder / "rules.yaml").read_text()
    for file in ("blocked.txt", "rates.txt"):
        text = text.replace(file, f'"{folder / file}"')
    text = text.replace("aurora: {", f'aurora: {{exchange: "{prefix}.proc.alpha", ')
    text = text.replace("borealis: {", f'borealis: {{exchange: "{prefix}.proc.beta"')
    (tmp_path / "rules.yaml").write_text(text)
    return tmp_path / "rules.yaml"


@pytest.fixture
def options(broker: Any, prefix: str, rules: Path) -> tuple[str, ...]:
    """The options that lead a command to this test's part of the broker."""
    return ("--amqp-url", broker.url, "--prefix", prefix, "--rules", str(rules))


@pytest.fixture
def books(broker: Any, prefix: str, options: tuple[str, ...], site: Path) -> Iterator[Books]:
    """Books over a declared topology; its queues are deleted at the end."""
    from tests.support.producer import pika_channel

    declared = run_command("topology", "declare", *options, env=environment(site))
    assert declared.returncode == 0, declared.stderr
    with pika_channel(broker.url) as channel:
        yield Books(channel, broker.url, prefix)
        steps = [f"delay.{step}" for step in ("1s", "5s", "30s", "2m", "10m", "1h")]
        for queue in ("incoming", "dead", "crashed", *steps, "proc.alpha.inbox", "proc.beta.inbox"):
            channel.queue_delete(f"{prefix}.{queue}")


def test_a_worker_with_plugins_reloads_its_rules(
    books: Books, start_worker: StartWorker, rules: Path, site: Path
) -> None:
    """Two processes ask plugins for every payment; a saved change is in force without a restart."""
    sent = [card(number, "player-9" if number % 10 == 0 else "player-2") for number in range(PAYMENTS)]
    later = [card(number) for number in range(PAYMENTS, PAYMENTS + 20)]
    bad = [body for number, body in enumerate(sent) if number % 10 == 0]
    with start_worker(**environment(site)) as worker:
        worker.wait_for_sessions(2)
        books.publish(sent)
        books.wait_for(PAYMENTS)
        rules.write_text(rules.read_text().replace("basis_points: 250", "basis_points: 100"))
        worker.process.send_signal(signal.SIGHUP)
        wait_until(lambda: worker.log.count("rules reloaded") == 2, "both processes reload")
        books.publish(later)
        books.wait_for(PAYMENTS + 20)
        assert worker.terminate()[0] == 0
    books.check([one for one in sent if one not in bad] + later, bad)
    fees = {
        payment_id: json.loads(bodies[0])["fees"][0]["amount"]["value"]
        for payment_id, bodies in books.dispatched.items()
    }
    assert {fees[f"pay-{number}"] for number in range(PAYMENTS) if number % 10} == {"2.50"}
    assert {fees[f"pay-{number}"] for number in range(PAYMENTS, PAYMENTS + 20)} == {"1.00"}
