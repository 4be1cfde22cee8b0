"""Traces: in the producer's context, named by the messaging conventions, exported only when asked for."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.bodies import payment
from tests.support.collector import Collector, Spanned, collecting
from tests.support.command import RunningWorker, running_worker
from tests.support.stage import Received, Stage
from worker.settings import otel_exporter
from worker.telemetry.tracing import make_tracer

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
PRODUCER, CONSUMER = 4, 5


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A receiver of its own for each test."""
    with collecting() as made:
        yield made


@asynccontextmanager
async def traced(stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Run a worker that exports to the collector; on leaving, everything has been exported."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    stage.tracer = make_tracer(otel_exporter("traces"), stage.names.incoming)
    try:
        async with stage.working():
            yield
    finally:
        stage.tracer.shutdown()


async def test_payment_has_a_process_and_a_send_span_in_the_producers_trace(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process span is the producer's child and the send span its own; the dispatch goes on from there."""
    await stage.publish(payment(), headers={"traceparent": SAMPLED}, message_id="m-1")
    async with traced(stage, collector, monkeypatch):
        [dispatch] = await stage.dispatched()
    [process] = collector.named(f"process {stage.names.incoming}")
    [send] = collector.named(f"send {stage.exchange_of('alpha')}")
    assert len(collector.spans) == 2
    assert "/v1/traces" in collector.paths
    assert (process.trace_id, process.parent_id, process.kind) == (TRACE, PARENT, CONSUMER)
    assert (send.trace_id, send.parent_id, send.kind) == (TRACE, process.span_id, PRODUCER)
    assert dispatch.headers["traceparent"] == f"00-{TRACE}-{send.span_id}-01"
    assert (process.failed, send.failed) == (False, False)
    _check_process(stage, process, dispatch)
    _check_send(stage, send, dispatch)


async def test_each_line_of_a_message_has_spans_of_its_own(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the message's trace, unless the message names one for each line."""
    lines = b"\n".join(payment(payment_id=f"p-{number}") for number in (1, 2))
    traces = [SAMPLED.replace(TRACE, 32 * digit) for digit in "12"]
    ndjson = "application/x-ndjson"
    await stage.publish(lines, content_type=ndjson, headers={"traceparent": SAMPLED})
    own = b"\n".join(payment(payment_id=f"p-{number}") for number in (3, 4))
    await stage.publish(own, content_type=ndjson, headers={"traceparents": ",".join(traces)})
    async with traced(stage, collector, monkeypatch):
        await stage.dispatched(count=4)
    spans = collector.named(f"process {stage.names.incoming}")
    found = {
        span.attributes["payment.id"]: (span.trace_id, span.attributes["payment.line"]) for span in spans
    }
    assert found == {
        "p-1": (TRACE, 1), "p-2": (TRACE, 2), "p-3": (32 * "1", 1), "p-4": (32 * "2", 2)
    }  # fmt: skip
    assert {span.parent_id for span in spans} == {PARENT}
    assert len({span.span_id for span in spans}) == len(spans)


def _check_process(stage: Stage, span: Spanned, dispatch: Received) -> None:
    """The attributes of the messaging conventions, and the payment's own."""
    expected = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": f"{stage.prefix}:card.eur:{stage.names.incoming}",
        "messaging.rabbitmq.destination.routing_key": "card.eur",
        "messaging.rabbitmq.message.delivery_tag": 1,
        "messaging.message.id": "m-1",
        "messaging.message.conversation_id": "pay-1",
        "messaging.message.body.size": len(payment()),
        "payment.id": "pay-1",
        "payment.attempt": 1,
        "payment.outcome": "dispatched",
        "payment.rule": "cards",
        "payment.processor": "alpha",
        "payment.dispatch_id": dispatch.json["dispatch_id"],
        "payment.rules_version": stage.table.version,
    }
    assert {name: span.attributes.get(name) for name in expected} == expected
    assert span.resource["service.name"] == "payment-stream-worker"


def _check_send(stage: Stage, span: Spanned, dispatch: Received) -> None:
    exchange = stage.exchange_of("alpha")
    expected = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": f"{exchange}:card.eur",
        "messaging.rabbitmq.destination.routing_key": "card.eur",
        "payment.processor": "alpha",
        "payment.dispatch_id": dispatch.json["dispatch_id"],
    }
    assert {name: span.attributes.get(name) for name in expected} == expected


async def test_payment_without_a_trace_begins_one(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process span is then a root, and the processor goes on in its trace."""
    await stage.publish(payment())
    async with traced(stage, collector, monkeypatch):
        [dispatch] = await stage.dispatched()
    [process] = collector.named(f"process {stage.names.incoming}")
    assert process.parent_id == ""
    assert dispatch.headers["traceparent"][3:35] == process.trace_id


async def test_dead_letter_marks_its_spans_with_the_error(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process span of a bad payment has the code as error type; sending the dead letter succeeded."""
    await stage.publish(payment(value="0"), headers={"traceparent": SAMPLED})
    async with traced(stage, collector, monkeypatch):
        [dead] = await stage.dead()
    [process] = collector.named(f"process {stage.names.incoming}")
    [send] = collector.named(f"send {stage.names.dead}")
    assert (process.failed, process.attributes["error.type"]) == (True, "amount_not_positive")
    assert process.attributes["payment.outcome"] == "dead_lettered"
    assert send.failed is False
    assert dead.letter.traceparent == f"00-{TRACE}-{send.span_id}-01"


async def test_refused_send_is_marked_and_the_fallbacks_is_not(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each publish has a span of its own: alpha's with the refusal, beta's without."""
    await stage.unbind("alpha")
    await stage.publish(payment(type="wallet"), "wallet.eur", headers={"traceparent": SAMPLED})
    async with traced(stage, collector, monkeypatch):
        [dispatch] = await stage.dispatched("beta")
    [refused] = collector.named(f"send {stage.exchange_of('alpha')}")
    [sent] = collector.named(f"send {stage.exchange_of('beta')}")
    assert (refused.failed, refused.attributes["error.type"]) == (True, "unroutable")
    assert (sent.failed, "error.type" in sent.attributes) == (False, False)
    assert dispatch.headers["traceparent"] == f"00-{TRACE}-{sent.span_id}-01"


async def test_unsampled_payment_is_not_recorded_and_stays_unsampled(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The producer's decision not to sample holds for the worker and for the processor."""
    await stage.publish(payment(), headers={"traceparent": UNSAMPLED})
    async with traced(stage, collector, monkeypatch):
        [dispatch] = await stage.dispatched()
    assert collector.spans == []
    assert dispatch.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert dispatch.headers["traceparent"].endswith("-00")


async def test_delayed_payment_stays_in_its_trace(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt has a process span; that of the second is a child of the send into the delay queue."""
    await stage.unbind("alpha")
    await stage.publish(payment(), headers={"traceparent": SAMPLED})
    async with traced(stage, collector, monkeypatch):
        await stage.dead()
    processes = {
        span.attributes["payment.attempt"]: span
        for span in collector.named(f"process {stage.names.incoming}")
    }
    [delay] = collector.named(f"send {stage.names.delay(0.2)}")
    assert sorted(processes) == [1, 2, 3]
    assert processes[2].parent_id == delay.span_id
    assert {span.trace_id for span in collector.spans} == {TRACE}


async def test_tracestate_travels_with_the_context(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vendors' part of the producer's context reaches the processor, as W3C Trace Context asks."""
    await stage.publish(payment(), headers={"traceparent": SAMPLED, "tracestate": "vendor=value"})
    async with traced(stage, collector, monkeypatch):
        [dispatch] = await stage.dispatched()
    assert dispatch.headers.get("tracestate") == "vendor=value"


def _start(stage: Stage, log: Path, **env: str) -> AbstractContextManager[RunningWorker]:
    options = ("--rules", str(stage.rules), "--amqp-url", stage.url, "--prefix", stage.prefix)
    return running_worker(log, *options, env={"PAYMENT_WORKER_DELAY_STEPS": "200ms,300ms", **env})


async def test_command_exports_what_it_did_before_it_ends(
    stage: Stage, collector: Collector, tmp_path: Path
) -> None:
    """The real command reads the standard variables, and exports its last spans on SIGTERM."""
    await stage.publish(payment(), headers={"traceparent": SAMPLED})
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    with _start(stage, tmp_path / "log", **env) as worker:
        await stage.dispatched()
        assert worker.terminate()[0] == 0
    assert len(collector.spans) == 2
    assert collector.points == {
        ("payment_worker.payments", "dispatched"): 1,
        ("payment_worker.breakers", "alpha", "closed"): 1,
        ("payment_worker.breakers", "beta", "closed"): 1,
    }


async def test_service_name_is_the_standard_variables_to_choose(
    stage: Stage, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operators who run several workers tell them apart by ``OTEL_SERVICE_NAME``."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "payments-blue")
    await stage.publish(payment(), headers={"traceparent": SAMPLED})
    async with traced(stage, collector, monkeypatch):
        await stage.dispatched()
    assert {span.resource["service.name"] for span in collector.spans} == {"payments-blue"}


async def test_command_exports_nothing_when_it_is_switched_off(
    stage: Stage, collector: Collector, tmp_path: Path
) -> None:
    """With the SDK disabled nothing leaves the worker, and the producer's context passes through."""
    await stage.publish(payment(), headers={"traceparent": SAMPLED})
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SDK_DISABLED": "true"}
    with _start(stage, tmp_path / "log", **env) as worker:
        [dispatch] = await stage.dispatched()
        assert worker.terminate()[0] == 0
    assert collector.paths == set()
    assert dispatch.headers["traceparent"] == SAMPLED


@pytest.mark.parametrize("variables", [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}])
def test_traces_are_not_exported_unless_asked_for(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any standard variable, or with one that says no, no exporter is made."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    if variables:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert otel_exporter("traces") == "none"


async def test_collector_that_does_not_answer_delays_neither_payments_nor_the_end(
    stage: Stage, tmp_path: Path
) -> None:
    """Telemetry observes and never steers: with nobody listening, payments flow and SIGTERM ends in time."""
    await stage.publish(payment())
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with _start(stage, tmp_path / "log", **env) as worker:
        await stage.dispatched()
        code, seconds = worker.terminate()
    assert code == 0
    assert seconds < 20
