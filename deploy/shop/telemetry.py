"""Start the OpenTelemetry SDK of one shop service: traces, metrics and logs over OTLP/HTTP.

Everything is set by the standard ``OTEL_*`` variables; nothing here knows who receives the telemetry.
"""

from __future__ import annotations

import logging
import sys

import httpx
from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

PROCESS_METRICS: dict[str, list[str] | None] = {
    "process.cpu.time": ["user", "system"],
    "process.cpu.utilization": ["user", "system"],
    "process.memory.usage": None,
    "process.thread.count": None,
}


class Telemetry:
    """The three providers of this process; they read service name, version and instance from the environment."""

    def __init__(self) -> None:
        self.traces = TracerProvider()
        self.traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
        self.logs = LoggerProvider()
        self.logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))

    def start(self) -> None:
        """Make them the global ones and put the instrumentations in place."""
        trace.set_tracer_provider(self.traces)
        metrics.set_meter_provider(self.metrics)
        set_logger_provider(self.logs)
        _log_to_stderr_too()
        LoggingInstrumentor().instrument()
        AsyncPGInstrumentor().instrument()  # type: ignore[no-untyped-call]
        SystemMetricsInstrumentor(config=PROCESS_METRICS).instrument()

    def watch(self, app: FastAPI) -> None:
        """Instrument the server side; without the spans of single ASGI messages, which nobody reads."""
        FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"], excluded_urls="ready")

    def watch_client(self, client: httpx.AsyncClient) -> None:
        """Instrument the client side: above the finding of names, as a library that balances load would be."""
        HTTPXClientInstrumentor.instrument_client(client)

    def stop(self) -> None:
        """Send what is still held back."""
        self.traces.shutdown()
        self.metrics.shutdown()
        self.logs.shutdown()


def _log_to_stderr_too() -> None:
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.WARNING)
    console.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[console])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of each request, and so do the spans
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the service logs its exceptions inside the span
