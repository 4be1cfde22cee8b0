"""Real processes with plugins that block their event loop, or hang when they are made: neighbours go on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bodies import payment
from tests.support.books import Books
from tests.support.command import RunningWorker, StartWorker, run_command, wait_until
from tests.support.plugins import (
    MISBEHAVING,
    MISBEHAVING_NAMES,
    MISBEHAVING_OFFERS,
    write_distribution,
)

RULES = """\
version: 1
processors:
  alpha: {{exchange: "{prefix}.proc.alpha"}}
  beta: {{exchange: "{prefix}.proc.beta"}}
steps:
  - {{name: wait, when: {{type: wallet}}, plugin: {{by_customer_async: {{}}}}}}
  - {{name: slow, when: {{type: voucher}}, plugin: {{slow: {{seconds: "{seconds}"}}}}}}
rules:
  - {{name: all, when: {{}}, route: {{to: {to}}}}}
default: {{hold: nothing comes here}}
"""
PLAIN = [payment(f"plain-{number}") for number in range(300)]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with the misbehaving plugins installed and allowed."""
    site = tmp_path_factory.mktemp("site")
    write_distribution(site, "hanging_plugins", MISBEHAVING, MISBEHAVING_OFFERS)
    return {
        "PYTHONPATH": str(site),
        "PAYMENT_WORKER_PLUGINS": ",".join(MISBEHAVING_NAMES),
        "PAYMENT_WORKER_DELAY_STEPS": "1s",
    }


def written(path: Path, prefix: str, seconds: str = "0", to: str = "alpha") -> Path:
    path.write_text(RULES.format(prefix=prefix, seconds=seconds, to=to))
    return path


@pytest.fixture
def rules(tmp_path: Path, prefix: str) -> Path:
    """Rules whose plugins are soon made."""
    return written(tmp_path / "rules.yaml", prefix)


@pytest.fixture
def options(broker: Any, prefix: str, rules: Path) -> tuple[str, ...]:
    """The options that lead a command to this test's part of the broker."""
    return ("--amqp-url", broker.url, "--prefix", prefix, "--rules", str(rules))


@pytest.fixture
def books(broker: Any, prefix: str, options: tuple[str, ...], env: dict[str, str]) -> Iterator[Books]:
    """Books over a declared topology; its queues are deleted at the end."""
    from tests.support.producer import pika_channel

    declared = run_command("topology", "declare", *options, env=env)
    assert declared.returncode == 0, declared.stderr
    with pika_channel(broker.url) as channel:
        yield Books(channel, broker.url, prefix)
        for queue in ("incoming", "dead", "crashed", "delay.1s", "proc.alpha.inbox", "proc.beta.inbox"):
            channel.queue_delete(f"{prefix}.{queue}")


def by(customer: str, number: int, kind: str = "wallet") -> bytes:
    return payment(f"{customer}-{number}", type=kind, customer_id=customer)


def lines(worker: RunningWorker, event: str) -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in worker.log.splitlines() if line.startswith('{"')]
    return [line for line in parsed if line.get("event") == event]


def test_a_step_that_blocks_its_event_loop(
    books: Books, start_worker: StartWorker, env: dict[str, str]
) -> None:
    """It costs the payments that it hangs on; all others are dispatched, those of the same step too."""
    bad = [by("blocks", number) for number in range(6)]
    good = [by("good", number) for number in range(6)]
    asked = [one for pair in zip(bad, good, strict=True) for one in pair]
    with start_worker(**env) as worker:
        worker.wait_for_sessions(2)
        books.publish([*asked, *PLAIN])
        books.wait_for(len(PLAIN) + len(asked))
        assert worker.terminate()[0] == 0
    books.check([*PLAIN, *good], bad)
    assert books.codes == {"retries_exhausted": len(bad)}
    assert {line["reason"] for line in lines(worker, "plugin failed")} == {
        "step by_customer_async did not answer within 0.15 s"
    }


def test_a_start_with_a_plugin_that_hangs_when_it_is_made(
    options: tuple[str, ...], rules: Path, prefix: str, env: dict[str, str]
) -> None:
    """It ends by itself, and says which plugin it was, where it stands, and what to look at."""
    written(rules, prefix, seconds="600")
    said = run_command("run", *options, env=env)
    assert said.returncode == 2
    assert "rules.yaml:7:50: step slow is not ready after 1.5 s" in said.stderr
    assert "see what its `__init__` waits for, or give the class a larger `ready_seconds`" in said.stderr


def test_new_rules_with_a_plugin_that_hangs_when_it_is_made(
    books: Books, start_worker: StartWorker, rules: Path, prefix: str, env: dict[str, str]
) -> None:
    """The old rules stay, payments flow meanwhile, log and metric say why; the next change is taken."""
    before, during, after = PLAIN[:100], PLAIN[100:200], PLAIN[200:]
    with start_worker(**env, OTEL_METRICS_EXPORTER="console") as worker:
        worker.wait_for_sessions(2)
        books.publish(before)
        written(rules, prefix, seconds="600", to="beta")
        books.publish(during)
        books.wait_for(len(before) + len(during))
        event = "rules not reloaded: the old ones stay"
        wait_until(lambda: len(lines(worker, event)) == 2, "both processes keep the old rules")
        written(rules, prefix, seconds="0.1", to="beta")
        wait_until(lambda: len(lines(worker, "rules reloaded")) == 2, "both processes reload")
        books.publish(after)
        books.wait_for(len(PLAIN))
        assert worker.terminate()[0] == 0
    books.check(PLAIN)
    to = {key: json.loads(bodies[0])["processor"] for key, bodies in books.dispatched.items()}
    assert {to[f"plain-{number}"] for number in range(200)} == {"alpha"}
    assert {to[f"plain-{number}"] for number in range(200, 300)} == {"beta"}
    for line in lines(worker, event):
        assert line["code"] == "plugin_not_ready"
        assert "rules.yaml:7:50: step slow is not ready after 1.5 s" in line["reason"]
    assert '"error.type": "plugin_not_ready"' in worker.log


def test_a_stop_while_a_plugin_hangs_when_it_is_made(
    books: Books, start_worker: StartWorker, rules: Path, prefix: str, env: dict[str, str]
) -> None:
    """Nobody waits for it: the worker drains and ends as at any other time."""
    with start_worker(**env) as worker:
        worker.wait_for_sessions(2)
        hanging = rules.read_text().replace('slow: {seconds: "0"}', 'very_slow: {seconds: "600"}')
        rules.write_text(hanging)
        wait_until(lambda: worker.log.count("VerySlow is being made") == 3, "all processes make the plugin")
        books.publish(PLAIN[:10])
        books.wait_for(10)
        assert worker.terminate()[0] == 0
        wait_until(worker.group_is_gone, "nothing is left of it")
    assert not lines(worker, "worker process killed: it did not drain in time")
