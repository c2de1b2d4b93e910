"""What the OpenTelemetry SDK of a shop process is told: who it is, and where its telemetry goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """Where the shop's telemetry goes: an OTLP/HTTP receiver and the headers it wants."""

    endpoint: str
    headers: Mapping[str, str]
    batch_s: float = 1.0
    """Spans and logs leave at least so often."""
    metrics_s: float = 10.0
    """Metrics leave so often."""

    def environment(self) -> dict[str, str]:
        """Return it as the standard variables."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": ",".join(f"{name}={quote(value)}" for name, value in self.headers.items()),
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_BSP_SCHEDULE_DELAY": f"{self.batch_s * 1000:.0f}",
            "OTEL_BLRP_SCHEDULE_DELAY": f"{self.batch_s * 1000:.0f}",
            "OTEL_METRIC_EXPORT_INTERVAL": f"{self.metrics_s * 1000:.0f}",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
        }


def resource_environment(service: str, version: str, instance: str) -> dict[str, str]:
    """Return the standard variables that name a process, and how its histograms are made."""
    attributes = {
        "service.namespace": "shop",
        "service.version": version,
        "service.instance.id": instance,
        "deployment.environment.name": "demo",
    }
    variables = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in attributes.items()),
    }
    if service == "checkout":  # so that both kinds of histogram, and both temporalities, are in the demo
        variables["OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"] = "base2_exponential_bucket_histogram"
    if service == "payments":
        variables["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = "delta"
    return variables
