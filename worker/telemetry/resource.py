"""Who is telling: the OpenTelemetry resource of this worker."""

from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource

DEFAULT_SERVICE_NAME: Final = "payment-stream-worker"


def make_resource() -> Resource:
    """Return the resource; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win over our own name."""
    name = OTELResourceDetector().detect().attributes.get(SERVICE_NAME, DEFAULT_SERVICE_NAME)
    return Resource.create({SERVICE_NAME: name})
