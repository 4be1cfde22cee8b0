"""The private RabbitMQ node: alone on its ports and data, and gone when its owner is."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aio_pika
import pytest

from worker.errors import LocalBrokerFailed, RabbitMQMissing
from worker.local_broker import LocalBroker
from worker.rabbitmq import accepts_login, find_installation, free_ports, is_free

OWNER = """
import sys
from pathlib import Path
from worker.local_broker import LocalBroker
node = LocalBroker(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
node.start()
print(node.port, node.folder, flush=True)
sys.stdin.read()
raise RuntimeError("an exception that nobody caught")
"""


def eventually(condition: Callable[[], bool], *, within_seconds: float = 25.0) -> bool:
    """Poll until the condition holds or the time is over."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_naming(text: str) -> list[str]:
    """Living processes whose command line or environment contains the text, this one excepted."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            named = text.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if named and int(entry.name) != os.getpid():
            found.append(entry.name)
    return found


@pytest.fixture(scope="module")
def own() -> Iterator[LocalBroker]:
    """A node that the tests of this module may stop and kill."""
    with LocalBroker(consumer_timeout_seconds=90) as node:
        yield node


async def publish_and_count(url: str, queue_name: str, bodies: int) -> int:
    """Publish so many persistent messages to a quorum queue and return how many it then holds."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        queue = await channel.declare_queue(queue_name, durable=True, arguments={"x-queue-type": "quorum"})
        for _ in range(bodies):
            message = aio_pika.Message(b"{}", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, queue_name)
        held = await channel.declare_queue(queue_name, passive=True)
        count = held.declaration_result.message_count
        assert queue.name == queue_name
        return count or 0


def test_all_stable_feature_flags_are_on(broker: LocalBroker) -> None:
    """At-least-once dead-lettering works from the first declaration, since stream_queue is enabled.

    Experimental flags stay as RabbitMQ has them: off, such as khepri_db of 4.0.
    """
    listed = broker.rabbitmqctl("list_feature_flags", "name", "state", "stability").splitlines()[1:]
    flags = [line.split("\t") for line in listed]
    assert ["stream_queue", "enabled"] in [flag[:2] for flag in flags]
    assert {state for _, state, stability in flags if stability != "experimental"} == {"enabled"}
    assert {state for _, state, stability in flags if stability == "experimental"} <= {"disabled"}


def test_nothing_listens_beyond_the_loopback_interface(broker: LocalBroker) -> None:
    """AMQP, Erlang distribution and epmd accept connections from this machine only."""
    environ = broker._opened().environment()
    ports = {
        f"{int(environ[key]):04X}" for key in ("RABBITMQ_NODE_PORT", "RABBITMQ_DIST_PORT", "ERL_EPMD_PORT")
    }
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A" and row[1].split(":")[1] in ports}
    assert listening == {f"0100007F:{port}" for port in ports}


def test_a_wrong_password_is_not_a_login(broker: LocalBroker) -> None:
    """Readiness means that a login succeeds, not that a port is open."""
    assert accepts_login(broker.port)
    assert not accepts_login(broker.port, password="wrong")  # noqa: S106 - not one that exists


def test_limits_reach_the_node(own: LocalBroker) -> None:
    """Settings given to the object are the node's."""
    assert own.rabbitmqctl("eval", "application:get_env(rabbit, consumer_timeout).").strip() == "{ok,90000}"


def test_rabbitmqctl_says_what_went_wrong(broker: LocalBroker) -> None:
    """A failing command raises with the tool's own words."""
    with pytest.raises(LocalBrokerFailed, match=r"list_queues.*no_such_column"):
        broker.rabbitmqctl("list_queues", "no_such_column")


async def test_messages_outlive_a_kill(own: LocalBroker, prefix: str) -> None:
    """After SIGKILL and a start, port and confirmed messages are as before."""
    url = own.url
    assert await publish_and_count(url, prefix, 20) == 20
    own.flush()
    own.kill()
    assert own.pid is None
    assert not accepts_login(own.port)
    own.start()
    assert own.url == url
    assert await publish_and_count(url, prefix, 1) == 21


async def test_messages_outlive_a_restart(own: LocalBroker, prefix: str) -> None:
    """An orderly restart keeps port and messages, with a new process."""
    assert await publish_and_count(own.url, prefix, 5) == 5
    before = own.pid
    own.restart()
    assert own.pid not in {None, before}
    assert await publish_and_count(own.url, prefix, 1) == 6


async def test_a_given_folder_is_kept_and_used_by_one_node_at_a_time(tmp_path: Path, prefix: str) -> None:
    """Data in a named folder is there for the next node, and a second one is refused meanwhile."""
    async with LocalBroker(tmp_path / "kept") as first:
        assert await publish_and_count(first.url, prefix, 3) == 3
        with pytest.raises(LocalBrokerFailed, match="another broker uses the data"):
            LocalBroker(tmp_path / "kept").start()
    async with LocalBroker(tmp_path / "kept") as second:
        assert await publish_and_count(second.url, prefix, 1) == 4


def test_two_nodes_run_side_by_side(broker: LocalBroker, own: LocalBroker) -> None:
    """Each has ports, folder and epmd of its own, and each answers its own rabbitmqctl."""
    assert broker.port != own.port
    pids = [int(node.rabbitmqctl("eval", "os:getpid().").strip().strip('"')) for node in (broker, own)]
    assert pids == [broker.pid, own.pid]


def test_close_leaves_nothing() -> None:
    """No process and no folder remain, and closing twice is harmless."""
    node = LocalBroker()
    node.start()
    folder = node.folder
    assert processes_naming(str(folder))
    node.close()
    node.close()
    assert not folder.exists()
    assert eventually(lambda: not processes_naming(str(folder)))


@pytest.mark.parametrize("end", ["exception", "sigkill"])
def test_the_node_ends_with_its_owner(end: str) -> None:
    """Whether the owner dies of an exception or of SIGKILL, no process and no folder remain."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        port, folder = owner.stdout.readline().split()
        assert accepts_login(int(port))
        if end == "sigkill":
            owner.kill()
        else:
            assert owner.stdin is not None
            owner.stdin.close()
        assert owner.wait(30) == (-signal.SIGKILL if end == "sigkill" else 1)
    assert eventually(lambda: not Path(folder).exists())
    assert eventually(lambda: not processes_naming(folder))
    assert is_free(int(port))


def test_a_taken_port_is_named() -> None:
    """A port that something listens on is refused before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalBrokerFailed, match=f"port {port} on 127.0.0.1 cannot be used"):
            LocalBroker(port=port).start()


def test_a_node_that_cannot_start_says_why() -> None:
    """A setting RabbitMQ does not know ends the start with the node's own last lines."""
    with pytest.raises(LocalBrokerFailed, match=r"(?s)before it was ready.*no_such_setting"):
        LocalBroker(extra_config={"no_such_setting": "1"}).start()


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    """A folder that cannot be made is refused by name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalBrokerFailed, match=r"cannot keep its data in .*file"):
        LocalBroker(tmp_path / "file" / "below").start()


def test_missing_rabbitmq_is_one_sentence_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without RabbitMQ the message says what to install and how."""
    monkeypatch.setattr("worker.rabbitmq._DEBIAN_LIB", tmp_path)
    monkeypatch.setattr("worker.rabbitmq._HOMEBREW", ())
    with pytest.raises(
        RabbitMQMissing, match=r"RabbitMQ is not installed: .*apt-get install rabbitmq-server"
    ):
        find_installation({"PATH": str(tmp_path)})


def test_a_wrong_rabbitmq_home_is_named(tmp_path: Path) -> None:
    """RABBITMQ_HOME that holds no RabbitMQ is an error, not silently ignored."""
    with pytest.raises(RabbitMQMissing, match=f"RABBITMQ_HOME is '{tmp_path}'"):
        find_installation({"PATH": os.environ["PATH"], "RABBITMQ_HOME": str(tmp_path)})


def test_missing_erlang_is_told_apart_from_missing_rabbitmq(tmp_path: Path) -> None:
    """RabbitMQ without Erlang in PATH names Erlang's program."""
    home = find_installation().home
    with pytest.raises(RabbitMQMissing, match="Erlang's `erl` is not in PATH"):
        find_installation({"PATH": str(tmp_path), "RABBITMQ_HOME": str(home)})


def test_free_ports_differ_and_stay_below_the_client_range() -> None:
    """Ports are distinct, free, and never ones a client of this machine may be given."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    lowest_client_port = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(ports) < lowest_client_port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_until_it_is_told_to_stop(number: signal.Signals, tmp_path: Path) -> None:
    """`payment-worker broker` prints a URL that works, and ends with 0 on SIGINT and SIGTERM."""
    program = "import typer; from worker.commands.broker import broker; typer.run(broker)"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        said = list(iter(command.stdout.readline, "Ctrl-C ends it.\n"))
        port = int(said[0].split("127.0.0.1:")[1].rstrip("/\n"))
        assert accepts_login(port)
        command.send_signal(number)
        _, errors = command.communicate(timeout=30)
        assert command.returncode == 0, errors
        assert f"  export PAYMENT_WORKER_AMQP_URL=amqp://guest:guest@127.0.0.1:{port}/\n" in said
        assert "Traceback" not in errors
    assert not accepts_login(port)
