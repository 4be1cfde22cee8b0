"""Counts of what the worker did, exported by OpenTelemetry; nothing is counted twice or on the hot path.

The worker counts in plain integers. The SDK reads them when it exports, by observable counters.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    PeriodicExportingMetricReader,
)

from worker.telemetry.resource import make_resource


def export_counts(exporter: str, payments: Counter[str], reloads: Counter[str]) -> Callable[[], None]:
    """Export payments by outcome and rule reloads by result; return what flushes and ends it.

    ``exporter`` is ``none``, ``otlp`` or ``console``. Endpoint and interval are the SDK's to read from the
    standard ``OTEL_*`` variables.
    """
    if exporter == "none":
        return lambda: None
    reader = PeriodicExportingMetricReader(_make_exporter(exporter))
    provider = MeterProvider([reader], resource=make_resource(), shutdown_on_exit=False)
    meter = provider.get_meter("payment-stream-worker")
    meter.create_observable_counter(
        "payment_worker.payments",
        [_observe(payments, "outcome")],
        "{payment}",
        "Payments by what became of them",
    )
    meter.create_observable_counter(
        "payment_worker.rules.reloads", [_observe(reloads, "result")], "{reload}", "Reloads of the rule files"
    )
    return provider.shutdown


def _observe(counts: Counter[str], attribute: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {attribute: name}) for name, count in dict(counts).items()]

    return observe


def _make_exporter(exporter: str) -> MetricExporter:
    if exporter == "console":
        return ConsoleMetricExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter()
