"""One ``process`` span for each payment and one ``send`` span for each publish, in the producer's trace.

The W3C trace context comes in from the AMQP headers and goes out to the processor. Where nothing is exported,
no span is made and the context passes through; a payment that came without one is given a trace id, so that
its log lines and its dispatch can always be found together.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import getrandbits
from typing import Any, Final, Protocol, TypeAlias

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, StaticSampler, TraceIdRatioBased
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.telemetry import attributes as names
from worker.telemetry.resource import make_resource

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_BY_TRACE_ID: Final = (ParentBased, StaticSampler, TraceIdRatioBased)
"""The SDK's own samplers: none of them looks at more than the parent's flag and the trace id."""
_NOT_ZERO: Final = 1 << 64 | 1  # the lowest bit of a trace id with a span id of 64 bits behind it
_PROPAGATOR: Final = TraceContextTextMapPropagator()

Describe: TypeAlias = Callable[[], Mapping[str, Any]]
"""Gives attributes; it is called only when a span records them."""


class PaymentTrace(Protocol):
    """The trace of one payment in the worker's hands."""

    @property
    def trace_id(self) -> str:
        """32 hex digits."""

    def sending(self, exchange: str, routing_key: str, attributes: Describe) -> str:
        """A publish begins; return the ``traceparent`` that travels with it."""

    def sent(self, error_code: str | None) -> None:
        """The publish begun last was confirmed, or what became of it instead."""

    def end(self, outcome: str, error_code: str | None, attributes: Describe) -> None:
        """The payment has left the worker's hands."""


class Tracer(Protocol):
    """Starts the trace of a payment."""

    def receive(self, headers: Mapping[str, Any], attributes: Describe) -> PaymentTrace:
        """Begin with a delivery's headers; ``attributes`` are asked for only when a span is recorded."""

    def of(self, queue: str) -> "Tracer":
        """Return the tracer for the payments of one queue, which span names mention."""

    def shutdown(self) -> None:
        """Export what is left, however long that takes, and end."""


class PassedTrace:
    """No spans: the producer's context passes through, or a new trace id is made."""

    __slots__ = ("_traceparent",)

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent

    @property
    def trace_id(self) -> str:
        """See ``PaymentTrace``."""
        return self._traceparent[3:35]

    def sending(self, exchange: str, routing_key: str, attributes: Describe) -> str:  # noqa: ARG002
        """See ``PaymentTrace``."""
        return self._traceparent

    def sent(self, error_code: str | None) -> None:
        """See ``PaymentTrace``."""

    def end(self, outcome: str, error_code: str | None, attributes: Describe) -> None:
        """See ``PaymentTrace``."""


class PassingTracer:
    """The tracer when nothing is exported."""

    def receive(
        self,
        headers: Mapping[str, Any],
        attributes: Describe,  # noqa: ARG002 - nothing is recorded
    ) -> PaymentTrace:
        """See ``Tracer``."""
        return PassedTrace(_parent_in(headers) or _new_traceparent())

    def of(self, queue: str) -> Tracer:  # noqa: ARG002 - as above
        """See ``Tracer``."""
        return self

    def shutdown(self) -> None:
        """See ``Tracer``."""


@dataclass(slots=True)
class RecordedTrace:
    """Spans in the OpenTelemetry SDK."""

    _tracer: trace.Tracer
    _span: Span
    _sending: Span | None = None

    @property
    def trace_id(self) -> str:
        """See ``PaymentTrace``."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def sending(self, exchange: str, routing_key: str, attributes: Describe) -> str:
        """See ``PaymentTrace``."""
        self._sending = span = self._tracer.start_span(
            f"send {exchange}",
            trace.set_span_in_context(self._span),
            SpanKind.PRODUCER,
            {
                names.SYSTEM: "rabbitmq",
                names.OPERATION_NAME: "send",
                names.OPERATION_TYPE: "send",
                names.DESTINATION: f"{exchange}:{routing_key}",
                names.ROUTING_KEY: routing_key,
                **attributes(),
            }
            if self._span.is_recording()
            else None,
        )
        return _traceparent(span.get_span_context())

    def sent(self, error_code: str | None) -> None:
        """See ``PaymentTrace``."""
        if self._sending is not None:
            _mark(self._sending, error_code)
            self._sending.end()
            self._sending = None

    def end(self, outcome: str, error_code: str | None, attributes: Describe) -> None:
        """See ``PaymentTrace``."""
        if self._span.is_recording():
            self._span.set_attributes({names.PAYMENT_OUTCOME: outcome, **attributes()})
        _mark(self._span, error_code)
        self._span.end()


class TraceIds(RandomIdGenerator):
    """Random ids; the next trace gets ``chosen``, where one is set: the sampler was asked about that one."""

    chosen: int | None = None

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        chosen, self.chosen = self.chosen, None
        return super().generate_trace_id() if chosen is None else chosen


class RecordingTracer:
    """The tracer when spans are exported. ``queue`` names the destination in span names.

    The sampler is asked before there is a span, since one that is not recorded costs nearly as much as one
    that is. What it drops passes through as if nothing were exported, with the sampled flag unset.
    """

    def __init__(self, provider: TracerProvider, queue: str, ids: TraceIds) -> None:
        self._provider = provider
        self._ids = ids
        self._tracer = provider.get_tracer("payment-stream-worker")
        self._name = f"process {queue}"
        sampler = provider.sampler
        self._sampler: Sampler | None = sampler if isinstance(sampler, _BY_TRACE_ID) else None
        self._by_parent = isinstance(sampler, ParentBased)

    def receive(self, headers: Mapping[str, Any], attributes: Describe) -> PaymentTrace:
        """See ``Tracer``."""
        if self._sampler is not None:
            parent = _parent_in(headers)
            traceparent = parent or _new_traceparent()
            if parent is not None and self._by_parent:
                sampled = int(parent[53:], 16) & TraceFlags.SAMPLED
            else:
                trace_id = int(traceparent[3:35], 16)
                decision = self._sampler.should_sample(None, trace_id, self._name).decision
                sampled = decision is Decision.RECORD_AND_SAMPLE
                self._ids.chosen = trace_id if sampled and parent is None else None
            if not sampled:
                return PassedTrace(f"{traceparent[:53]}00")
        carrier = {
            key: value for key in ("traceparent", "tracestate") if isinstance(value := headers.get(key), str)
        }
        span = self._tracer.start_span(self._name, _PROPAGATOR.extract(carrier), SpanKind.CONSUMER)
        if span.is_recording():
            span.set_attributes(
                {
                    names.SYSTEM: "rabbitmq",
                    names.OPERATION_NAME: "process",
                    names.OPERATION_TYPE: "process",
                    **attributes(),
                }
            )
        return RecordedTrace(self._tracer, span)

    def of(self, queue: str) -> Tracer:
        """See ``Tracer``."""
        return RecordingTracer(self._provider, queue, self._ids)

    def shutdown(self) -> None:
        """See ``Tracer``."""
        self._provider.shutdown()


def _parent_in(headers: Mapping[str, Any]) -> str | None:
    """Return the ``traceparent`` that came with a delivery, where it is a valid one."""
    traceparent = headers.get("traceparent")
    valid = isinstance(traceparent, str) and _TRACEPARENT.fullmatch(traceparent)
    return traceparent if valid else None


def _new_traceparent() -> str:
    """Begin a trace that nobody records: random ids that are not zero, the sampled flag unset."""
    ids = f"{getrandbits(192) | _NOT_ZERO:048x}"
    return f"00-{ids[:32]}-{ids[32:]}-00"


def make_tracer(exporter: str, queue: str) -> Tracer:
    """Return a tracer for ``exporter``: ``none``, ``otlp`` or ``console``.

    Endpoint, headers, sampler and service name are the SDK's to read from the standard ``OTEL_*`` variables.
    """
    if exporter == "none":
        return PassingTracer()
    ids = TraceIds()
    provider = TracerProvider(resource=make_resource(), shutdown_on_exit=False, id_generator=ids)
    provider.add_span_processor(BatchSpanProcessor(_make_exporter(exporter)))
    return RecordingTracer(provider, queue, ids)


def _make_exporter(exporter: str) -> SpanExporter:
    if exporter == "console":
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _mark(span: Span, error_code: str | None) -> None:
    if error_code is not None and span.is_recording():
        span.set_attribute(names.ERROR_TYPE, error_code)
        span.set_status(Status(StatusCode.ERROR))


def _traceparent(context: SpanContext) -> str:
    sampled = context.trace_flags & TraceFlags.SAMPLED
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{sampled:02x}"
