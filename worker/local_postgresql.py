"""A private PostgreSQL server for tests and benchmarks.

It has its own port on 127.0.0.1, its own folder and password, reads none of the machine's configuration, and
runs as whoever starts it; since PostgreSQL refuses root, root's runs as ``postgres`` or ``nobody``.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from worker.errors import LocalDatabaseFailed, PostgresqlMissing
from worker.rabbitmq import free_ports

_START_TIMEOUT_SECONDS: Final = 60.0
_STOP_TIMEOUT_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05
_SHOWN_LOG_LINES: Final = 12
_DEBIAN: Final = Path("/usr/lib/postgresql")
_HOMEBREW: Final = (Path("/opt/homebrew/opt"), Path("/usr/local/opt"))
_INHERITED: Final = ("PATH", "TZ")
_USER: Final = "payments"

# Reads lines, each the server's process id (empty: none runs). When the input ends, the owner is gone: the
# server is ended at once with its children, then its folder goes.
_GUARD: Final = r"""
trap '' HUP INT TERM
server=
while read -r line; do server=$line; done
if [ -n "$server" ] && kill -QUIT "$server" 2>/dev/null; then
  ticks=0
  while [ $ticks -lt 100 ] && kill -0 "$server" 2>/dev/null; do
    case "$(ps -o stat= -p "$server" 2>/dev/null)" in Z*) break;; esac
    ticks=$((ticks + 1)); sleep 0.1
  done
  kill -KILL "$server" 2>/dev/null
fi
rm -rf -- "$1"
"""


def find_postgresql(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the server's programs: POSTGRESQL_HOME's, else Debian's newest, PATH's or Homebrew's.

    Raises PostgresqlMissing, saying what to install.
    """
    environ = os.environ if environ is None else environ
    if home := environ.get("POSTGRESQL_HOME"):
        if _is_bin(Path(home) / "bin"):
            return Path(home) / "bin"
        raise PostgresqlMissing(
            f"POSTGRESQL_HOME is {home!r}, but there are no bin/initdb and bin/postgres in it: set it to the"
            " folder that holds them or unset it, so that the usual places are searched"
        )
    found = next(filter(_is_bin, _usual_bins(environ.get("PATH", os.defpath))), None)
    if found is None:
        raise PostgresqlMissing(
            "PostgreSQL's server is not installed: on Debian or Ubuntu run `apt-get install postgresql` as"
            " root, elsewhere install it as postgresql.org/download says and set POSTGRESQL_HOME to the"
            " folder that holds bin/postgres"
        )
    return found


def _is_bin(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("initdb", "postgres", "pg_isready"))


def _usual_bins(path: str) -> Iterable[Path]:
    def version(home: Path) -> float:
        with contextlib.suppress(ValueError):
            return float(home.name.rpartition("@")[2])
        return 0.0

    yield from (home / "bin" for home in sorted(_DEBIAN.glob("*"), key=version, reverse=True))
    if found := shutil.which("postgres", path=path):
        yield Path(found).resolve().parent
    for folder in _HOMEBREW:
        yield from (home / "bin" for home in sorted(folder.glob("postgresql*"), key=version, reverse=True))


class LocalPostgresql:
    """One PostgreSQL server, started and stopped by this object; a context manager.

    ``start``, ``stop``, ``kill`` and ``restart`` keep port and data, so ``url`` stays valid; ``close`` ends
    everything. If this process dies, even by SIGKILL, a guard process does the same.

    Args:
        settings: further settings of the server, such as ``{"fsync": "off"}`` where only processes die.
        programs: the folder of the server's programs; by default what this machine has.
        place: where its folder is made, which the user that it runs as must reach; by default among the
            machine's temporary files.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
        place: Path | None = None,
    ) -> None:
        self._programs = programs or find_postgresql()
        self._place = place
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "logging_collector": "off",
        } | dict(settings or {})
        self._password = secrets.token_urlsafe(16)
        self._as: dict[str, Any] = {}
        self._folder: Path | None = None
        self._port = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where a superuser connects, to a database that is nobody's."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Where a superuser connects to a database."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; raises LocalDatabaseFailed before the first start."""
        self._opened()
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._server.pid if self._server is not None and self._server.poll() is None else None

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database and return its URL; a template must have no connections."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url_of(name)

    def start(self) -> None:
        """Return once the server takes connections (2-4 s the first time); a running one is left alone.

        Raises LocalDatabaseFailed with the last log lines when it ends or is not ready in time; a first start
        that fails leaves nothing behind.
        """
        if self.pid is not None:
            return
        first = self._folder is None
        try:
            if first:
                self._open()
            self._launch()
        except BaseException:
            self.close() if first else self.kill()
            raise

    def stop(self) -> None:
        """End the server in order and keep its data; it is killed if that takes more than 20 s."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGINT)  # "fast": transactions in progress are undone
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(_STOP_TIMEOUT_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End all of the server's processes by SIGKILL, as a crash of the machine would; the data stays."""
        if self._server is None:
            return
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGSTOP)  # or it would start new ones meanwhile
            for child in _children(self._server.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self._server.kill()
        self._server.wait()
        self._server = None
        self._tell_guard("")

    def restart(self) -> None:
        """Stop in order and start again on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and leave nothing behind."""
        try:
            self.stop()
        finally:
            guard, self._guard = self._guard, None
            if guard is not None and guard.stdin is not None:
                guard.stdin.close()
                guard.wait()
            self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> Path:
        if self._folder is None:
            raise LocalDatabaseFailed("this server has no port and no folder yet: call start() first")
        return self._folder

    def _open(self) -> None:
        """Take port and folder, start the guard that gives them back, and make the server's data."""
        self._port = free_ports(1)[0]
        self._folder = folder = Path(tempfile.mkdtemp(prefix="payment-worker-postgresql-", dir=self._place))
        self._guard = subprocess.Popen(  # noqa: S603 - a constant script
            ["/bin/sh", "-c", _GUARD, "guard", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        password = folder / "password"
        password.write_text(self._password)
        if os.geteuid() == 0:
            user = _unprivileged()
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            for path in (folder, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        made = subprocess.run(  # noqa: S603 - PostgreSQL's own program, without a shell
            [
                str(self._programs / "initdb"), "-D", str(folder / "data"), "-U", _USER, "-E", "UTF8",
                "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync",
            ],
            env=_environment(), cwd=folder, capture_output=True, text=True, check=False, **self._as,
        )  # fmt: skip
        if made.returncode:
            raise LocalDatabaseFailed(f"initdb ended with {made.returncode}: {made.stderr.strip()}")

    def _launch(self) -> None:
        folder = self._opened()
        settings = self._settings | {"port": str(self._port), "unix_socket_directories": ""}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 - PostgreSQL's own program, without a shell
                [str(self._programs / "postgres"), "-D", str(folder / "data"), *options],
                env=_environment(), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **self._as,
            )  # fmt: skip
        self._tell_guard(str(self._server.pid))
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self._is_ready():
            if self._server.poll() is not None or time.monotonic() > deadline:
                lines = (folder / "log").read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
                raise LocalDatabaseFailed(
                    "\n".join(["the private PostgreSQL server did not start; its log's end:", *lines])
                )
            time.sleep(_POLL_SECONDS)

    def _is_ready(self) -> bool:
        asked = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(asked, env=_environment(), check=False).returncode == 0  # noqa: S603 - likewise

    def _tell_guard(self, server: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(server + "\n")
                self._guard.stdin.flush()


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"LC_ALL": "C"}


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise LocalDatabaseFailed("PostgreSQL refuses root, and there is no user postgres or nobody to run it as")


def _children(parent: int) -> Sequence[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
    pairs = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for pid, ppid in pairs if int(ppid) == parent]
