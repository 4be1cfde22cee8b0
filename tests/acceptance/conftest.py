"""What the acceptance tests share: a worker as a process, and books kept by a client that is not ours."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.bodies import write_rules
from tests.support.books import Books
from tests.support.command import RunningWorker, StartWorker, run_command, running_worker
from tests.support.producer import pika_channel
from worker.local_broker import LocalBroker


@pytest.fixture
def rules(tmp_path: Path, prefix: str) -> Path:
    """Rules whose processors no other test has."""
    return write_rules(tmp_path / "rules.yaml", prefix)


@pytest.fixture
def options(broker: LocalBroker, prefix: str, rules: Path) -> tuple[str, ...]:
    """The options that lead a command to this test's part of the broker."""
    return ("--amqp-url", broker.url, "--prefix", prefix, "--rules", str(rules))


@pytest.fixture
def books(broker: LocalBroker, prefix: str, options: tuple[str, ...]) -> Iterator[Books]:
    """Books over a declared topology; its queues are deleted at the end."""
    assert run_command("topology", "declare", *options).returncode == 0
    with pika_channel(broker.url) as channel:
        yield Books(channel, broker.url, prefix)
        steps = [f"delay.{step}" for step in ("1s", "5s", "30s", "2m", "10m", "1h")]
        inboxes = [f"proc.{name}.inbox" for name in ("alpha", "beta")]
        for queue in ("incoming", "dead", "crashed", *steps, *inboxes):
            channel.queue_delete(f"{prefix}.{queue}")


@pytest.fixture
def start_worker(options: tuple[str, ...], tmp_path: Path) -> StartWorker:
    """Start ``payment-worker run`` with two worker processes; more options may follow."""
    started = 0

    def start(*more: str, **env: str) -> AbstractContextManager[RunningWorker]:
        nonlocal started
        started += 1
        return running_worker(tmp_path / f"log-{started}", *options, "--processes", "2", *more, env=env)

    return start
