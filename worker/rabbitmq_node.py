"""How a private RabbitMQ node is laid out: its folder, its configuration, its environment and its guard."""

import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from worker.errors import LocalBrokerFailed
from worker.rabbitmq import Installation

NODE_NAME = "payments@localhost"

_INHERITED = ("PATH", "TMPDIR", "TZ")
_COOKIE_BYTES = 20
_LOG_STAMP = re.compile(r"^\d{4}-\S+ \S+ (?=\[)")

# Starts epmd and reads lines from standard input, each the node's process id (empty: no node runs). When the
# input ends, the owner is gone, whatever the reason: the node is asked to stop and killed 15 s later, then
# epmd and a temporary folder go too. A dead node that its adopter has not reaped yet (Z) counts as gone.
_GUARD = r"""
trap '' HUP INT TERM
"$1" -port "$2" -address 127.0.0.1 </dev/null >/dev/null 2>&1 & epmd=$!
node=
while read -r line; do node=$line; done
if [ -n "$node" ] && kill -TERM "$node" 2>/dev/null; then
  ticks=0
  while [ $ticks -lt 150 ] && kill -0 "$node" 2>/dev/null; do
    case "$(ps -o stat= -p "$node" 2>/dev/null)" in Z*) break;; esac
    ticks=$((ticks + 1)); sleep 0.1
  done
  kill -KILL -- "-$node" 2>/dev/null
fi
kill -KILL "$epmd"; wait "$epmd" 2>/dev/null
if [ -n "$3" ]; then rm -rf -- "$3"; fi
"""


def take_folder(data_dir: Path | None) -> tuple[Path, IO[str] | None]:
    """A new temporary folder, or the given one with the lock that keeps every other broker out of it.

    Raises LocalBrokerFailed when it cannot be written to, or when another broker has it.
    """
    if data_dir is None:
        return Path(tempfile.mkdtemp(prefix="payment-worker-broker-")), None
    folder = data_dir.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise LocalBrokerFailed(
            f"another broker uses the data in {folder}: stop that one first, or name another folder"
        ) from error
    return folder, lock


def _unusable(folder: Path, error: OSError) -> LocalBrokerFailed:
    return LocalBrokerFailed(
        f"the broker cannot keep its data in {folder}: {error.strerror}; name a folder that you may write to"
    )


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """One node's folder, ports and limits. Every node has the same name: each has an epmd of its own."""

    installation: Installation
    folder: Path
    temporary: bool
    amqp_port: int
    distribution_port: int
    epmd_port: int
    schedulers: int
    config: Mapping[str, str]

    def write(self) -> None:
        """Create the folder's files; the cookie of an earlier run is kept. Raises LocalBrokerFailed."""
        lines = [f"{key} = {value}\n" for key, value in self.config.items()]
        cookie = self.folder / ".erlang.cookie"
        try:
            (self.folder / "log").mkdir(exist_ok=True)
            (self.folder / "rabbitmq.conf").write_text("".join(lines))
            (self.folder / "enabled_plugins").write_text("[rabbitmq_consistent_hash_exchange].\n")
            if not cookie.exists():
                cookie.write_text(secrets.token_hex(_COOKIE_BYTES))
                cookie.chmod(0o400)
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def environment(self) -> dict[str, str]:
        """What the node and its tools see: none of RabbitMQ's or Erlang's variables of the caller.

        The names are those of RabbitMQ's configuration guide. Distribution listens on 127.0.0.1 only. With
        ALLOW_INPUT the script becomes the node, so that its process id is the node's, and -noinput takes the
        console away again. Schedulers are not bound to processors (+stbt u), as RabbitMQ's default has it:
        workers run on the same ones here, and a bound scheduler would wait for its own while another idles.
        """
        folder = str(self.folder)
        erl_args = (
            f"+S {self.schedulers}:{self.schedulers} +stbt u -kernel inet_dist_use_interface {{127,0,0,1}}"
            " -start_epmd false -noinput"
        )
        return {key: os.environ[key] for key in _INHERITED if key in os.environ} | {
            "HOME": folder,
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP": f"{folder}/erl_crash.dump",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_NODENAME": NODE_NAME,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.amqp_port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",  # any free port, not one of the eleven that all nodes share
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erl_args,
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/generated",
            "RABBITMQ_SCHEMA_DIR": f"{folder}/schema",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": f"{folder}/node.pid",
        }

    def guard_command(self) -> list[str]:
        """The process that ends the node when its owner is gone; it also runs the node's epmd."""
        removed = str(self.folder) if self.temporary else ""
        return ["/bin/sh", "-c", _GUARD, "guard", str(self.installation.epmd), str(self.epmd_port), removed]

    def has_run_with_this_version(self) -> bool:
        """Whether the data was made, or already upgraded, by the RabbitMQ that is to run now."""
        mark = self.folder / "last_version"
        return mark.is_file() and mark.read_text() == self.installation.home.name

    def note_version(self) -> None:
        """Remember which RabbitMQ the data belongs to."""
        (self.folder / "last_version").write_text(self.installation.home.name)

    def telling_log_lines(self, count: int) -> list[str]:
        """The first errors the node reported, where the cause is; without any, the end of what it wrote.

        From its log, and before it could log, from what it printed. Empty lines are left out.
        """
        for file in (self.folder / "log" / f"{NODE_NAME}.log", self.folder / "console.log"):
            text = file.read_text(errors="replace") if file.is_file() else ""
            lines = [_LOG_STAMP.sub("", line) for line in text.splitlines() if line.strip()]
            errors = [line for line in lines if line.startswith("[error]") and line.split()[2:]]
            if lines:
                return errors[:count] or lines[-count:]
        return []
