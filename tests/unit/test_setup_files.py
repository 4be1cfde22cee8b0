"""The files of the other ways in: they parse, agree with the package, and expose nothing to the network."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
OURS = ("topology", "worker", "producer")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml."""
    document = YAML(typ="safe").load(ROOT / "compose.yaml")
    return dict(document["services"])


def setup_step(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run one step of the set-up with this environment only."""
    return subprocess.run(
        ["/bin/bash", str(ROOT / ".ci" / "setup"), *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_compose_has_broker_tracing_and_database(services: dict[str, Any]) -> None:
    """Beside the worker there are RabbitMQ 4, a tracing backend and PostgreSQL."""
    assert services["rabbitmq"]["image"].startswith("rabbitmq:4")
    assert "jaeger" in services["jaeger"]["image"]
    assert services["postgresql"]["image"].startswith("postgres:")


def test_compose_opens_ports_on_this_machine_only(services: dict[str, Any]) -> None:
    """Every published port is bound to 127.0.0.1."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_depends_on_services_that_exist(services: dict[str, Any]) -> None:
    """A dependency names a service, and a health condition only one with a health check."""
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            assert name in services
            assert how["condition"] != "service_healthy" or "healthcheck" in services[name]


@pytest.mark.parametrize("name", OURS)
def test_compose_settings_are_ones_the_worker_reads(services: dict[str, Any], name: str) -> None:
    """Each PAYMENT_WORKER_ variable is a setting, so that a renamed setting cannot be missed."""
    from worker.settings import Settings

    prefix = "PAYMENT_WORKER_"
    given = [key for key in services[name]["environment"] if key.startswith(prefix)]
    assert given
    assert all(key.removeprefix(prefix).lower() in Settings.model_fields for key in given)


def test_compose_commands_are_ones_the_worker_has(services: dict[str, Any]) -> None:
    """Every payment-worker command in compose.yaml and the Dockerfile exists, with its options."""
    import typer.main

    from worker.cli import app

    root = typer.main.get_command(app)
    produce = re.findall(r"payment-worker ([^|]+)", services["producer"]["command"][0])
    commands = [services[name]["command"] for name in ("topology", "worker")] + [
        line.split() for line in produce
    ]
    assert len(commands) == 4
    for words in commands:
        command: Any = root
        rest = [*words]
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        assert command is not root
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options


def test_worker_outlives_its_drain_before_docker_kills_it(services: dict[str, Any]) -> None:
    """Docker's patience after SIGTERM is longer than the worker's own deadline."""
    from worker.settings import Settings

    patience = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert patience > Settings.model_fields["drain_timeout"].default


def test_image_runs_as_nobody_in_particular() -> None:
    """The last stage's user is a number that is not root's."""
    last_stage = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]
    assert re.findall(r"^USER (\d+):(\d+)$", last_stage, re.MULTILINE) == [("10001", "10001")]


def test_dockerfile_copies_only_what_the_context_holds() -> None:
    """Every path the build copies exists and is let through by .dockerignore."""
    text = (ROOT / "Dockerfile").read_text()
    copied = {
        word.strip("./")
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)


def test_every_target_is_explained() -> None:
    """`make` alone lists what there is to do."""
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([a-z-]+)", listed, re.MULTILINE) == [
        "help",
        "setup",
        "demo",
        "test",
        "faults",
        "test-brokers",
        "lint",
        "bench",
        "clean",
    ]


def test_a_wrong_python_is_named() -> None:
    """PYTHON that cannot be used is an error, not silently replaced."""
    done = setup_step("venv", "unused", PATH="/usr/bin:/bin", PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert done.stderr.startswith("error: PYTHON=/nowhere/python is not Python 3.11 or newer")
    assert done.stderr.count("\n") == 1


def test_a_missing_rabbitmq_is_one_sentence(tmp_path: Path) -> None:
    """Without RabbitMQ, root or apt, the message says what to install and how."""
    for tool in ("id", "readlink", "dirname"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    done = setup_step("rabbitmq", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("error: RabbitMQ is missing and this user cannot install it: as root, run")
    assert "`apt-get install rabbitmq-server`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_postgresql_is_named() -> None:
    """POSTGRESQL_HOME that cannot be used is an error, not silently replaced."""
    done = setup_step("postgresql", PATH="/usr/bin:/bin", POSTGRESQL_HOME="/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("error: POSTGRESQL_HOME=/nowhere holds no bin/initdb")
    assert done.stderr.count("\n") == 1


def test_a_failing_step_shows_what_its_command_said() -> None:
    """Quiet when all is well, the command's own words and exit code when not."""
    good = setup_step("step", "greeting", "echo", "hello", PATH="/usr/bin:/bin")
    assert (good.returncode, "hello" in good.stderr) == (0, False)
    bad = setup_step("step", "complaint", "bash", "-c", "echo woe; exit 3", PATH="/usr/bin:/bin")
    assert bad.returncode == 3
    assert "FAILED" in bad.stderr
    assert "woe" in bad.stderr
