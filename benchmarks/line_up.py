"""Who takes part: relays that do no work, peer frameworks that do a little, the worker with everything on.

Everybody has the same safety: durable quorum queues, persistent messages, publisher confirms awaited before
the delivery is acknowledged, ``mandatory`` where the library has it, and a prefetch that is wide enough.
"""

import importlib
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Final

import aiormq

from benchmarks.harness import Contestant, declare, run_round
from worker.local_broker import LocalBroker
from worker.rules_file import load_rules
from worker.session import prepare_topology
from worker.settings import load_settings

HERE: Final = Path(__file__).parent
PREFETCH: Final = 1000
ENDLESS: Final = 1_000_000_000
"""As a count of messages: a relay that runs until it is stopped."""

SOURCE: Final = "bench.in"
"""The queue that relays and peers empty."""
TARGET: Final = "bench.out"
"""The exchange, and its one queue, that they fill."""

C_RELAY: Final = "C relay, no work"
TAP_RELAY: Final = "tap relay, no work"
AIORMQ_RELAY: Final = "bare aiormq relay, no work"
AIO_PIKA_RELAY: Final = "bare aio-pika relay, no work"
RELAYS: Final = (C_RELAY, TAP_RELAY, AIORMQ_RELAY, AIO_PIKA_RELAY)
WORKER: Final = "payment-worker, everything on"

SHARES: Final = {AIORMQ_RELAY: 0.5, AIO_PIKA_RELAY: 0.25}
"""Of a round's messages, for those that are slow: they have as many rounds as everybody."""
PEER_SHARE: Final = 0.2

PEERS: Final = ("celery", "dramatiq", "faststream", "taskiq")


def build_c_relay(folder: Path) -> Path | None:
    """Compile the C relay where a compiler and librabbitmq are installed."""
    compiler = shutil.which("cc")
    target = folder / "relay"
    if compiler is None:
        return None
    built = subprocess.run(
        [compiler, "-O2", str(HERE / "relays/relay.c"), "-o", str(target), "-lrabbitmq"],
        capture_output=True,
        check=False,
    )
    return target if built.returncode == 0 else None


async def relays(broker: LocalBroker, folder: Path, count: int = ENDLESS) -> list[Contestant]:
    """Return the relays, each ending after ``count`` messages, and declare what they move between.

    Without a compiler or librabbitmq there is no C relay, and a line says so.
    """
    connection = await aiormq.connect(broker.url)
    for name in (SOURCE, TARGET):
        await declare(connection, name, name)
    await connection.close()
    arguments = [SOURCE, TARGET, str(count), str(PREFETCH)]
    commands = {}
    if (built := build_c_relay(folder)) is not None:
        commands[C_RELAY] = [str(built), str(broker.port), *arguments]
    else:
        print("no C relay: it needs cc and librabbitmq (Debian: apt-get install gcc librabbitmq-dev)")
    scripts = {TAP_RELAY: "tap_relay", AIORMQ_RELAY: "aiormq_relay", AIO_PIKA_RELAY: "aio_pika_relay"}
    for name, script in scripts.items():
        commands[name] = [sys.executable, str(HERE / f"relays/{script}.py"), broker.url, *arguments]
    return [
        Contestant(name, partial(list, command), SOURCE, [TARGET], share=SHARES.get(name, 1.0))
        for name, command in commands.items()
    ]


def new_sqlite_journals(folder: Path) -> Iterator[str]:
    """Yield addresses of journals in new files, without end; all workers of a run share the iterator."""
    return (f"sqlite:///{folder / f'journal-{number}.db'}" for number in itertools.count())


async def worker(  # noqa: PLR0913 - options by keyword
    broker: LocalBroker,
    rules: Path,
    journals: Iterator[str],
    *,
    name: str = WORKER,
    prefix: str = "bench",
    prefetch: int = PREFETCH,
    environment: Mapping[str, str] | None = None,
) -> Contestant:
    """Return the real command, one process, and declare its topology.

    Each start takes the next address of ``journals``, such as ``new_sqlite_journals`` or ``repeat("none")``.
    Settings that differ from the defaults are in ``environment``.
    """
    settings = load_settings(amqp_url=broker.url, rules=(rules,), prefetch=prefetch, prefix=prefix)
    table = load_rules(settings.rules)
    await prepare_topology(settings, table)
    command = [sys.executable, "-m", "worker", "run", "--amqp-url", broker.url, "--rules", str(rules)]
    command += ["--prefetch", str(prefetch), "--prefix", prefix, "--journal"]
    return Contestant(
        name,
        lambda: [*command, next(journals)],
        f"{prefix}.incoming",
        [f"{processor.exchange}.inbox" for processor in table.processors.values()],
        dict(environment or {}),
    )


async def peers(broker: LocalBroker, bodies: Sequence[bytes], *, quick: bool = False) -> list[Contestant]:
    """Return each framework that is installed, with the fastest of its settings, and declare its queue.

    Each setting is tried once with some of ``bodies``; a quick look takes the first as it is. ``relays`` must
    have declared what they move between.
    """
    connection = await aiormq.connect(broker.url)
    chosen = []
    for name in PEERS:
        module = f"benchmarks.peers.with_{name}"
        try:
            peer = importlib.import_module(module)
        except ImportError as error:
            print(f"no {name}: {error} (pip install -e .[bench])")
            continue
        await peer.prepare(broker.url)
        tried = []
        for setting in peer.SETTINGS:
            command = [sys.executable, "-m", module, broker.url, *setting.arguments]
            title = f"{peer.NAME} {version(peer.DISTRIBUTION)}, {setting.what}"
            one = Contestant(title, partial(list, command), peer.SOURCE, [TARGET], dict(setting.environment))
            one.wrap, one.share = peer.wrap, PEER_SHARE
            if quick:
                tried.append((0.0, one))
                break
            found = await run_round(connection, one, bodies)
            print(f"trying {title}: {found.messages_per_second:,.0f}/s", flush=True)
            tried.append((found.messages_per_second, one))
        chosen.append(max(tried, key=itemgetter(0))[1])
    await connection.close()
    return chosen
