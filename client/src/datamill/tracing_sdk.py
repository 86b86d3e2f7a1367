"""OpenTelemetry's SDK, set up as its environment variables say. Imported only where they do."""

from __future__ import annotations

import atexit
import importlib.metadata
import logging
import os
import threading

from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_RESOURCE_ATTRIBUTES,
    OTEL_SERVICE_NAME,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

log = logging.getLogger(__name__)

_LAST_WORDS_SECS = 3.0
_PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def make_provider(service_name: str) -> TracerProvider:
    """Return a provider that exports in the background, and what is left at the process's end.

    It is not made the process's own: a training script may still set one.
    """
    resource = Resource.create(_named(service_name))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in _exporters():
        provider.add_span_processor(BatchSpanProcessor(exporter))
    atexit.register(_shut_down, provider)
    return provider


def _shut_down(provider: TracerProvider) -> None:
    """Export what is left, unless that takes long: a collector that is away holds nobody up."""
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(_LAST_WORDS_SECS)


def _named(service_name: str) -> dict[str, str]:
    said = os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "")
    if os.environ.get(OTEL_SERVICE_NAME) or f"{SERVICE_NAME}=" in said:
        return {}
    return {SERVICE_NAME: service_name}


def _exporters() -> list[SpanExporter]:
    names = os.environ.get(OTEL_TRACES_EXPORTER) or "otlp"
    found = [_exporter(name.strip()) for name in names.split(",") if name.strip() != "none"]
    return [exporter for exporter in found if exporter is not None]


def _exporter(name: str) -> SpanExporter | None:
    """Return an exporter that some installed package has under a name (an entry point)."""
    if name == "otlp":
        name = _PROTOCOLS.get(_protocol(), name)
    group = importlib.metadata.entry_points(group="opentelemetry_traces_exporter", name=name)
    for entry_point in group:
        exporter: SpanExporter = entry_point.load()()
        return exporter
    log.warning("no spans are told: no package is installed that has the exporter %s", name)
    return None


def _protocol() -> str:
    said = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL)
    return said or os.environ.get(OTEL_EXPORTER_OTLP_PROTOCOL) or "http/protobuf"
