"""Counts of what the worker did, exported by OpenTelemetry; nothing is counted twice or on the hot path.

The worker counts in plain integers. The SDK reads them when it exports, by observable counters.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    PeriodicExportingMetricReader,
)

from worker.telemetry.attributes import ERROR_TYPE
from worker.telemetry.resource import make_resource


def export_counts(
    exporter: str, payments: Counter[str], reloads: Counter[str], breakers: Callable[[], Mapping[str, str]]
) -> Callable[[], None]:
    """Export payments by outcome, rule reloads by result, and the state of each processor's breaker.

    Returns what flushes and ends it. A reload's result is ``done``, or else the code of why it failed;
    ``breakers`` gives the states by processor. ``exporter`` is ``none``, ``otlp`` or ``console``; endpoint
    and interval are the SDK's to read from the ``OTEL_*`` variables.
    """
    if exporter == "none":
        return lambda: None
    reader = PeriodicExportingMetricReader(_make_exporter(exporter))
    provider = MeterProvider([reader], resource=make_resource(), shutdown_on_exit=False)
    meter = provider.get_meter("payment-stream-worker")
    meter.create_observable_counter(
        "payment_worker.payments",
        [_observe(payments, lambda outcome: {"outcome": outcome})],
        "{payment}",
        "Payments by what became of them",
    )
    meter.create_observable_counter(
        "payment_worker.rules.reloads", [_observe(reloads, _result)], "{reload}", "Reloads of the rule files"
    )
    meter.create_observable_gauge(
        "payment_worker.breakers",
        [lambda _: [Observation(1, {"processor": name, "state": s}) for name, s in breakers().items()]],
        "{breaker}",
        "Circuit breakers of processors, 1 for the state that each is in",
    )
    return provider.shutdown


def _result(result: str) -> dict[str, str]:
    return {"result": result} if result == "done" else {"result": "failed", ERROR_TYPE: result}


def _observe(
    counts: Counter[str], attributes: Callable[[str], dict[str, str]]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, attributes(name)) for name, count in dict(counts).items()]

    return observe


def _make_exporter(exporter: str) -> MetricExporter:
    if exporter == "console":
        return ConsoleMetricExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter()
