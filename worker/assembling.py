"""What a session is made of: a pipeline, and a publisher of events, from what a process has in common."""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worker.amqp.connection import Broker
from worker.amqp.lane import Lane
from worker.amqp.topology import Names
from worker.announcing import Announcer
from worker.breaker import Breakers
from worker.claiming import Claims, JournalClaims, NoClaims
from worker.envelope import Envelopes
from worker.gate import Gate
from worker.journal.fingerprint import Fingerprints
from worker.journal.opening import open_outbox
from worker.journal.protocol import Journal
from worker.lines import Bounds
from worker.next_step import NextSteps
from worker.pipeline import Limits, Pipeline
from worker.planning import Planner
from worker.plugins.calls import Caller
from worker.report import Reporter
from worker.retry import RetryPolicies
from worker.settings import Settings
from worker.source import Source, Survivals, names_of
from worker.telemetry.logs import Log
from worker.telemetry.tracing import Tracer


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Shared:
    """What all consumers of a process have in common. ``planner`` is replaced when the rules change.

    ``prepare`` declares or verifies what a session needs, unless that was done since a monotonic time;
    ``mend`` does so with everything.
    """

    settings: Settings
    broker: Broker
    policies: RetryPolicies
    planner: Planner
    tracer: Tracer
    log: Log
    counts: Counter[str]
    breakers: Breakers
    plugins: Caller
    stop: asyncio.Event
    prepare: Callable[[float], Awaitable[None]]
    mend: Callable[[], Awaitable[None]]
    journal: Journal | None = None
    gate: Gate = field(default_factory=Gate)


def make_announcer(shared: Shared, name: str, lane: Lane) -> Announcer | None:
    """Return what publishes events, where there are to be any."""
    settings = shared.settings
    if settings.events == "off":
        return None
    outbox = open_outbox(settings.journal_address, f"{name} {secrets.token_hex(4)}")
    if outbox is None:
        return None
    return Announcer(outbox, lane, Names(settings.prefix).events, utc_now, shared.log)


def make_pipeline(shared: Shared, source: Source, lane: Lane, survivals: Survivals) -> Pipeline:
    """Return what moves the payments of one queue over one lane."""
    settings = shared.settings
    names = names_of(settings)
    steps = NextSteps(shared.policies, shared.breakers, utc_now, time.monotonic)
    identity, numbers = secrets.token_hex(8), itertools.count(1)
    return Pipeline(
        lane=lane,
        planner=shared.planner,
        envelopes=Envelopes(lambda: f"{identity}-{next(numbers)}", names.dead, source.return_to),
        steps=steps,
        tracer=shared.tracer.of(source.queue),
        log=shared.log,
        reporter=Reporter(shared.counts, shared.log, settings.log_level == "debug"),
        limits=Limits(
            settings.max_batch,
            settings.max_message_bytes,
            Bounds(settings.max_batch_lines, settings.max_batch_bytes),
            settings.prefetch,
        ),
        now=utc_now,
        delay_exchange=names.delay,
        source=source,
        plugins=shared.plugins,
        claims=_claims(shared, steps),
        gate=shared.gate,
        survivals=survivals,
    )


def _claims(shared: Shared, steps: NextSteps) -> Claims:
    journal, own = shared.journal, shared.settings.journal_fingerprint_key
    if journal is None:
        return NoClaims()
    key = journal.fingerprint_key if own is None else own.get_secret_value().encode()
    return JournalClaims(journal, Fingerprints(key), steps)
