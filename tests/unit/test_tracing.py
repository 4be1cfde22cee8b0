"""Which payments are recorded: as the SDK's samplers say, in one decision a payment."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker.telemetry import tracing
from worker.telemetry.tracing import Tracer, make_tracer

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What a tracer made from now on exports."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_make_exporter", lambda _name: exporter)
    return exporter


def make(monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str = "1") -> Tracer:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    return make_tracer("otlp", "payments.incoming")


def pass_through(tracer: Tracer, headers: dict[str, str]) -> tuple[str, str]:
    """Let one payment pass; return its trace id and the traceparent of its dispatch."""
    payment = tracer.receive(headers, dict)
    travels = payment.sending("processor.alpha", "card.eur", dict)
    payment.sent(None)
    payment.end("dispatched", None, dict)
    return payment.trace_id, travels


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_a_share_of_new_traces_is_recorded_under_the_ids_that_travel(
    exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """A payment without a trace has one id in its log lines, its dispatch and its spans, sampled or not."""
    tracer = make(monkeypatch, sampler, "0.5")
    passed = [pass_through(tracer, {}) for _ in range(400)]
    tracer.shutdown()
    assert all(travels[3:35] == trace_id for trace_id, travels in passed)
    assert len({trace_id for trace_id, _ in passed}) == 400
    recorded = {trace_id for trace_id, travels in passed if travels.endswith("-01")}
    assert 100 < len(recorded) < 300
    spans = exported.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == recorded
    assert len(spans) == 2 * len(recorded)


@pytest.mark.parametrize(
    ("sampler", "argument", "came", "spans"),
    [
        ("parentbased_always_on", "1", SAMPLED, 2),
        ("parentbased_always_on", "1", UNSAMPLED, 0),
        ("parentbased_traceidratio", "0", SAMPLED, 2),
        ("parentbased_always_off", "1", SAMPLED, 2),
        ("always_off", "1", SAMPLED, 0),
        ("always_on", "1", UNSAMPLED, 2),
        ("traceidratio", "0", SAMPLED, 0),
        ("traceidratio", "1", UNSAMPLED, 2),
    ],
)
def test_a_producers_trace_goes_on_as_the_sampler_says(
    exported: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    argument: str,
    came: str,
    spans: int,
) -> None:
    """Whatever is decided, the trace id stays, and the flag that travels says whether spans were made."""
    tracer = make(monkeypatch, sampler, argument)
    trace_id, travels = pass_through(tracer, {"traceparent": came})
    tracer.shutdown()
    assert trace_id == TRACE == travels[3:35]
    assert travels[53:] == ("01" if spans else "00")
    assert len(exported.get_finished_spans()) == spans
