"""This machine's RabbitMQ: where it is installed, which ports are free for it, and whether it answers."""

import os
import random
import re
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pamqp import commands, frame, header
from pamqp.exceptions import PAMQPException, UnmarshalingException

from worker.errors import LocalBrokerFailed, RabbitMQMissing

_DEBIAN_LIB = Path("/usr/lib/rabbitmq/lib")
_HOMEBREW = (Path("/opt/homebrew/opt/rabbitmq"), Path("/usr/local/opt/rabbitmq"))
_HOW_TO_INSTALL = (
    "on Debian or Ubuntu run `apt-get install rabbitmq-server` as root, elsewhere install it as "
    "rabbitmq.com/docs/download says and set RABBITMQ_HOME to the folder that holds sbin/rabbitmq-server, "
    "or use `docker compose up`"
)
_LOWEST_PORT, _HIGHEST_PORT = 20_000, 32_767
_PORT_TRIES = 200
_PROBE_TIMEOUT_SECONDS = 5.0
_MAX_FRAME_BYTES = 131_072


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs a private node is made of."""

    home: Path
    epmd: Path

    @property
    def server(self) -> Path:
        """The script that runs the broker in the foreground, as whoever calls it."""
        return self.home / "sbin" / "rabbitmq-server"

    @property
    def ctl(self) -> Path:
        """The command line tool that talks to a running node."""
        return self.home / "sbin" / "rabbitmqctl"


def find_installation(environ: Mapping[str, str] | None = None) -> Installation:
    """The RabbitMQ to run: RABBITMQ_HOME, else Debian's newest, else what PATH leads to, else Homebrew's.

    A script in PATH counts only when it is RabbitMQ's own: Debian's wrapper in /usr/sbin switches the user.
    Raises RabbitMQMissing, saying what to install, when RabbitMQ or Erlang is not there.
    """
    environ = os.environ if environ is None else environ
    path = environ.get("PATH", os.defpath)
    if configured := environ.get("RABBITMQ_HOME"):
        home = Path(configured)
        if not _is_home(home):
            raise RabbitMQMissing(
                f"RABBITMQ_HOME is {configured!r}, but there is no sbin/rabbitmq-server in it: "
                "set it to RabbitMQ's own folder or unset it, so that the usual places are searched"
            )
    else:
        home = next(filter(_is_home, _usual_homes(path)), Path())
        if home == Path():
            raise RabbitMQMissing(f"RabbitMQ is not installed: {_HOW_TO_INSTALL}")
    erl = shutil.which("erl", path=path)
    epmd = shutil.which("epmd", path=path) or (_epmd_beside(Path(erl)) if erl else None)
    if erl is None or epmd is None:
        raise RabbitMQMissing(
            f"RabbitMQ is in {home}, but Erlang's `{'epmd' if erl else 'erl'}` is not in PATH: "
            f"{_HOW_TO_INSTALL}"
        )
    return Installation(home=home, epmd=Path(epmd))


def _is_home(home: Path) -> bool:
    return (home / "sbin" / "rabbitmq-server").is_file() and (home / "sbin" / "rabbitmq-env").is_file()


def _usual_homes(path: str) -> Iterable[Path]:
    yield from sorted(_DEBIAN_LIB.glob("rabbitmq_server-*"), key=_version, reverse=True)
    if found := shutil.which("rabbitmq-server", path=path):
        yield Path(found).resolve().parent.parent
    yield from _HOMEBREW


def _version(home: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", home.name))


def _epmd_beside(erl: Path) -> str | None:
    """Erlang keeps epmd in its own erts-<version>/bin, which not every package puts into PATH."""
    root = erl.resolve().parent.parent
    candidates = [*root.glob("erts-*/bin/epmd"), *root.glob("lib/erlang/erts-*/bin/epmd")]
    return str(max(candidates)) if candidates else None


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nothing listens on at this moment, 20000 to 32767.

    They lie below the ports the system hands out to clients: among those, a client that keeps reconnecting
    while the broker is down could be given the broker's own port, connect to itself and hold it.
    Raises LocalBrokerFailed when 200 random ports were not enough.
    """
    ports: list[int] = []
    for port in random.sample(range(_LOWEST_PORT, _HIGHEST_PORT + 1), _PORT_TRIES):
        if is_free(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise LocalBrokerFailed(
        f"no {count} free ports found on 127.0.0.1 among {_PORT_TRIES} tried from {_LOWEST_PORT} to "
        f"{_HIGHEST_PORT}: see with `ss -ltn` what holds them"
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now; raises OverflowError outside 0 to 65535."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts_login(port: int, user: str = "guest", password: str = "guest") -> bool:  # noqa: S107 - RabbitMQ's default
    """Whether the broker on 127.0.0.1:port lets the user open the virtual host ``/``, at most 5 s a step.

    A whole AMQP 0-9-1 handshake: the port already listens while the broker still loads users and queues.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), _PROBE_TIMEOUT_SECONDS) as connection:
            return _handshake(connection, user, password)
    except (OSError, PAMQPException):
        return False


def _handshake(connection: socket.socket, user: str, password: str) -> bool:
    connection.sendall(header.ProtocolHeader().marshal())
    if not isinstance(_next_method(connection), commands.Connection.Start):
        return False
    login = commands.Connection.StartOk(response=f"\0{user}\0{password}")
    connection.sendall(frame.marshal(login, 0))
    tune = _next_method(connection)
    if not isinstance(tune, commands.Connection.Tune):
        return False
    answer = commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0)
    connection.sendall(frame.marshal(answer, 0) + frame.marshal(commands.Connection.Open("/"), 0))
    opened = isinstance(_next_method(connection), commands.Connection.OpenOk)
    if opened:
        connection.sendall(frame.marshal(commands.Connection.Close(200, "bye", 0, 0), 0))
        _next_method(connection)
    return opened


def _next_method(connection: socket.socket) -> object:
    """The next whole frame; raises ConnectionError when the broker hangs up before it is whole."""
    received = b""
    while len(received) < _MAX_FRAME_BYTES:
        chunk = connection.recv(4096)
        if not chunk:
            break
        received += chunk
        try:
            return frame.unmarshal(received)[2]
        except UnmarshalingException:
            continue
    raise ConnectionError("the broker closed the connection in the middle of a frame")
