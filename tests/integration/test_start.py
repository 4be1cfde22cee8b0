"""A start that cannot succeed: one readable block on stderr, no traceback, and an exit code that says so."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.bodies import write_rules
from tests.support.command import run_command, running_worker, wait_until
from tests.support.producer import pika_channel
from worker.local_broker import LocalBroker
from worker.rabbitmq import free_ports

EXIT_CONFIGURATION = 2


@pytest.fixture
def rules(tmp_path: Path, prefix: str) -> Path:
    """A rule file without fault."""
    return write_rules(tmp_path / "rules.yaml", prefix)


def refused(done: CompletedProcess[str], *said: str, code: int = EXIT_CONFIGURATION) -> str:
    """Check that a command refused in words for people, each of ``said`` among them; return the words."""
    text = done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    assert "During handling" not in text
    assert ".py" not in text
    assert done.stdout == ""
    for part in said:
        assert part in text
    return text


def test_broken_rules_file_is_refused_by_file_line_and_nearest_name(
    rules: Path, broker: LocalBroker, prefix: str
) -> None:
    """A misspelt processor stops the start, with its place and the name that was meant."""
    rules.write_text(rules.read_text().replace("to: alpha, fees", "to: alhpa, fees"))
    done = run_command("run", "--rules", str(rules), "--amqp-url", broker.url, "--prefix", prefix)
    line = next(i for i, text in enumerate(rules.read_text().splitlines(), 1) if "alhpa" in text)
    refused(done, f"{rules}:{line}:", "alhpa", "alpha")


@pytest.mark.parametrize("text", ["version: 1\nrules: [", "- not\n- a mapping\n", "", "\x00"])
def test_rules_that_are_no_rules_are_refused(
    rules: Path, broker: LocalBroker, prefix: str, text: str
) -> None:
    """Whatever a rule file holds, the error names the file."""
    rules.write_text(text)
    done = run_command("run", "--rules", str(rules), "--amqp-url", broker.url, "--prefix", prefix)
    refused(done, str(rules))


def test_missing_rules_file_is_refused(tmp_path: Path, broker: LocalBroker) -> None:
    """A path that is not there is named."""
    missing = tmp_path / "nowhere.yaml"
    refused(run_command("run", "--rules", str(missing), "--amqp-url", broker.url), str(missing))


def test_unreachable_broker_is_refused(rules: Path) -> None:
    """Nobody listening: the error names the address without the password, and what to do."""
    [port] = free_ports(1)
    url = f"amqp://user:s3cret@127.0.0.1:{port}/"
    text = refused(
        run_command("run", "--rules", str(rules), "--amqp-url", url),
        "cannot reach RabbitMQ", f"127.0.0.1:{port}", "payment-worker broker", code=1,
    )  # fmt: skip
    assert "s3cret" not in text
    assert text.count("\n") == 1


def test_wrong_password_is_refused_without_showing_it(rules: Path, broker: LocalBroker) -> None:
    """The error says that the password is wrong; neither it nor a traceback is shown."""
    url = broker.url.replace("guest:guest", "guest:s3cret")
    text = refused(run_command("run", "--rules", str(rules), "--amqp-url", url), "password")
    assert "s3cret" not in text
    assert text.count("\n") == 1


def test_virtual_host_that_is_not_there_is_refused(rules: Path, broker: LocalBroker) -> None:
    """A virtual host that does not exist is named as the cause."""
    done = run_command("run", "--rules", str(rules), "--amqp-url", f"{broker.url}nowhere")
    assert refused(done, "virtual host").count("\n") == 1


def test_queue_declared_differently_is_refused(rules: Path, broker: LocalBroker, prefix: str) -> None:
    """A queue of that name with other arguments stops the start in one line that names it."""
    queue = f"{prefix}.incoming"
    with pika_channel(broker.url) as channel:
        channel.queue_declare(queue, durable=True)
        done = run_command("run", "--rules", str(rules), "--amqp-url", broker.url, "--prefix", prefix)
        channel.queue_delete(queue)
    assert refused(done, queue, "differs").count("\n") == 1


def test_missing_topology_is_refused_when_operators_own_it(
    rules: Path, broker: LocalBroker, prefix: str
) -> None:
    """With ``--topology verify`` nothing is created, and what is missing is named."""
    done = run_command(
        "run", "--rules", str(rules), "--amqp-url", broker.url, "--prefix", prefix, "--topology", "verify"
    )
    refused(done, f"{prefix}.incoming", f"{prefix}.dead", f"{prefix}.proc.alpha.inbox")


def test_unknown_setting_variable_is_refused_with_the_nearest_name(rules: Path) -> None:
    """A misspelt environment variable is not silently ignored."""
    done = run_command("run", "--rules", str(rules), env={"PAYMENT_WORKER_PREFETHC": "10"})
    refused(done, "PAYMENT_WORKER_PREFETHC", "PAYMENT_WORKER_PREFETCH?")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PAYMENT_WORKER_DELAY_STEPS", "1s,often", "500ms"),
        ("PAYMENT_WORKER_DELAY_STEPS", "5s,1s", "rise"),
        ("PAYMENT_WORKER_PROCESSES", "many", "--processes"),
        ("PAYMENT_WORKER_AMQP_URL", "http://127.0.0.1", "amqp://"),
        ("PAYMENT_WORKER_TOPOLOGY", "delcare", "declare"),
        ("PAYMENT_WORKER_DRAIN_TIMEOUT", "-1s", "duration"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER"),
    ],
)
def test_bad_setting_is_refused_by_name(rules: Path, variable: str, value: str, expected: str) -> None:
    """The error names the setting and what it may be."""
    refused(run_command("run", "--rules", str(rules), env={variable: value}), expected)


@pytest.mark.parametrize(
    "options",
    [
        ("--prefetch", "0"),
        ("--processes", "0"),
        ("--log-level", "loud"),
        ("--prefix", "a b"),
        ("--prefx", "a"),
    ],
)
def test_bad_option_is_refused_by_name(rules: Path, options: tuple[str, str]) -> None:
    """An option that does not exist, or a value it may not have, is refused before anything starts."""
    refused(run_command("run", "--rules", str(rules), *options), options[0].removeprefix("--"))


def test_stop_right_after_the_start_ends_in_order(
    rules: Path, broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    """SIGTERM while the worker processes still start ends them all, and the exit code is 0."""
    options = ("--rules", str(rules), "--amqp-url", broker.url, "--prefix", prefix, "--processes", "2")
    with running_worker(tmp_path / "log", *options) as worker:
        wait_until(lambda: bool(worker.children), "a worker process")
        code, _ = worker.terminate()
        assert (code, "Traceback" in worker.log) == (0, False), worker.log
