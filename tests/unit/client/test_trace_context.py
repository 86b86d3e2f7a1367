"""Trace contexts, and spans where nobody wants any."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from datamill import tracing
from datamill.trace_context import TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_what_was_received_is_passed_on() -> None:
    headers = {"traceparent": PARENT, "tracestate": "vendor=value,other=x"}
    context = TraceContext.received(headers)
    assert context is not None
    assert context.trace_id == TRACE
    assert context.headers() == headers
    assert TraceContext.decode(context.encode()) == context


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    context = TraceContext.received({"traceparent": f"cc-{TRACE}-{SPAN}-01-what-will-be"})
    assert context == TraceContext(PARENT)


@pytest.mark.parametrize(
    "parent",
    [
        None,
        17,
        b"bytes",
        "",
        "x",
        PARENT.upper(),
        PARENT + "-more",
        PARENT + "\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
    ],
)
def test_what_is_no_context(parent: Any) -> None:
    assert TraceContext.received({"traceparent": parent}) is None


def test_no_headers_no_context() -> None:
    assert TraceContext.received(None) is None
    assert TraceContext.received({}) is None
    assert TraceContext.decode(None) is None
    assert TraceContext.decode("") is None


@pytest.mark.parametrize("state", [None, 17, "", "a=\x00", "a=ü", "x" * 513])
def test_a_state_that_is_none_is_left_out(state: Any) -> None:
    context = TraceContext.received({"traceparent": PARENT, "tracestate": state})
    assert context == TraceContext(PARENT)


def test_a_state_that_is_too_long_to_be_kept_is_left_out() -> None:
    long = TraceContext(PARENT, "a=" + "x" * 400)
    assert len(long.encode()) <= 255
    assert TraceContext.decode(long.encode()) == TraceContext(PARENT)


def test_what_is_carried_belongs_to_who_works_on_it() -> None:
    context = TraceContext(PARENT)
    elsewhere: list[TraceContext | None] = []
    with tracing.Carrying(context):
        assert tracing.carried() == tracing.here() == context
        assert tracing.headers() == tracing.carried_headers() == {"traceparent": PARENT}
        thread = threading.Thread(target=lambda: elsewhere.append(tracing.carried()))
        thread.start()
        thread.join()
        with tracing.Carrying(None):
            assert tracing.carried() is None
    assert elsewhere == [None]
    assert tracing.carried() is tracing.carried_headers() is None
    assert tracing.headers() == {}


@pytest.mark.parametrize(
    ("wanted", "environment"),
    [
        (False, {}),
        (True, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}),
        (True, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:4318/v1/traces"}),
        (True, {"OTEL_TRACES_EXPORTER": "console"}),
        (False, {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}),
        (False, {"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}),
        (True, {"OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"}),
    ],
)
def test_who_wants_spans(wanted: bool, environment: dict[str, str]) -> None:
    assert tracing.asked_for(environment) is wanted


SPANS = """
import sys
from datamill import tracing
from datamill.trace_context import TraceContext
with tracing.Carrying(TraceContext("%s")), tracing.span("work", records=3):
    tracing.annotate(records=4)
    here = tracing.here()
print(tracing.active(), here.parent, sorted(m for m in sys.modules if m == "opentelemetry"))
"""


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", SPANS % PARENT],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize("environment", [{}, {"OTEL_SDK_DISABLED": "true"}])
def test_nothing_of_opentelemetry_is_imported_where_nobody_wants_it(
    environment: dict[str, str],
) -> None:
    assert run(environment).stdout.split() == ["False", PARENT, "[]"]


def test_spans_go_where_the_environment_says() -> None:
    done = run({"OTEL_TRACES_EXPORTER": "console"})
    assert done.stdout.startswith(f"True 00-{TRACE}-")
    assert PARENT not in done.stdout.splitlines()[0], "a span of its own"
    assert '"name": "work"' in done.stdout
    assert f'"parent_id": "0x{SPAN}"' in done.stdout
    assert '"datamill.records": 4' in done.stdout


def test_an_exporter_that_nobody_has_is_said_and_not_waited_for() -> None:
    done = run({"OTEL_TRACES_EXPORTER": "zipkin"})
    assert "no package is installed that has the exporter zipkin" in done.stderr
    assert done.stdout.startswith("True")
