"""Tracing through OpenTelemetry where somebody has set it up; elsewhere it costs nothing.

Set up is it where this process has a tracer provider, or where OpenTelemetry's own environment
variables ask for one (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_EXPORTER`, and not
`OTEL_SDK_DISABLED`). Else no span is made and nothing of OpenTelemetry is imported. The context of
a trace is passed on either way, as whoever asked sent it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import cache
from typing import TYPE_CHECKING

from datamill.trace_context import TraceContext

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer, TracerProvider

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_carried: ContextVar[TraceContext | None] = ContextVar("carried", default=None)
_service_name = "datamill-client"

Attribute = str | int | float | bool | None


# --- contexts -------------------------------------------------------------------------------------


def carried() -> TraceContext | None:
    """Return the context that was received for what is being done."""
    return _carried.get()


def carried_headers() -> dict[str, str | int] | None:
    """Return the headers of a message that is sent for what is being done."""
    context = _carried.get()
    return dict(context.headers()) if context else None


class Carrying:
    """In a `with`: what is done was asked for with this context."""

    def __init__(self, context: TraceContext | None) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token: Token[TraceContext | None] = _carried.set(self._context)

    def __exit__(self, *_error: object) -> None:
        _carried.reset(self._token)


def here() -> TraceContext | None:
    """Return the context of the span that is open; without one, what was received."""
    if _provider() is not None:
        from opentelemetry import trace

        if trace.get_current_span().get_span_context().is_valid:
            return TraceContext.received(_injected())
    return _carried.get()


def headers() -> dict[str, str]:
    """Return the fields of an HTTP request that is made for what is being done."""
    context = here()
    return context.headers() if context else {}


# --- spans ----------------------------------------------------------------------------------------


def active() -> bool:
    """Return whether spans are made."""
    return _provider() is not None


@contextmanager
def span(name: str, kind: str = "internal", **attributes: Attribute) -> Iterator[None]:
    """Make a span of what is done inside, below the one that is open or was received.

    `kind`: `internal`, `client`, `server`, `producer` or `consumer`. Attributes are called
    `datamill.<name>`; those that are None are left out.
    """
    tracer = _tracer()
    if tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    named = _named(attributes)
    kind_of_span = SpanKind[kind.upper()]
    with tracer.start_as_current_span(name, _parent(), kind_of_span, named):
        yield


def annotate(**attributes: Attribute) -> None:
    """Give the span that is open more attributes."""
    if _provider() is not None:
        from opentelemetry import trace

        trace.get_current_span().set_attributes(_named(attributes))


def _named(attributes: Mapping[str, Attribute]) -> dict[str, str | int | float | bool]:
    return {f"datamill.{name}": value for name, value in attributes.items() if value is not None}


def _parent() -> Context | None:
    """Return what a new span is below, where that is no span of this process."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    received = _carried.get()
    if received is None or trace.get_current_span().get_span_context().is_valid:
        return None
    return TraceContextTextMapPropagator().extract(received.headers())


def _injected() -> dict[str, str]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    fields: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(fields)
    return fields


# --- set-up ---------------------------------------------------------------------------------------


def set_up(service_name: str) -> None:
    """Begin to make spans where the environment asks for it; for services, at their start.

    `service_name` is what they are told from, unless the environment says another.
    """
    global _service_name
    _service_name = service_name
    if _provider() is not None:
        log.info("spans are told to OpenTelemetry")


def _tracer() -> Tracer | None:
    provider = _provider()
    return None if provider is None else provider.get_tracer("datamill")


def _provider() -> TracerProvider | None:
    """Return this process's tracer provider, the script's own before ours."""
    api = sys.modules.get("opentelemetry.trace")
    if api is not None:
        provider: TracerProvider = api.get_tracer_provider()
        if not isinstance(provider, api.ProxyTracerProvider):
            return provider
    return _own_provider()


@cache
def _own_provider() -> TracerProvider | None:
    if not asked_for(os.environ):
        return None
    try:
        from datamill.tracing_sdk import make_provider

        return make_provider(_service_name)
    except ImportError as error:
        log.warning("no spans are made: pip install 'datamill[tracing]' (%s)", error)
    return None


def asked_for(environment: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's environment variables ask for spans."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporters:
        return exporters.lower() != "none"
    return any(environment.get(name) for name in _ENDPOINTS)
