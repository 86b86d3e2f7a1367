"""Tracing: one trace from `request_dataset` to the last shard and the download."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.builder import BuilderProcess
from tests.support.collector import Collector, Span
from tests.support.listener import PlainClient
from tests.support.notifier import NotifierProcess

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=value"}
SHARDS = 5

TRAINING = """
import json, datamill
dataset = datamill.request_dataset("toy", "1.0.0", {})
dataset.wait()
print(json.dumps({"id": dataset.id, "key": dataset.manifest.content_key}))
"""

OWN_PROVIDER = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
provider = TracerProvider(resource=Resource({"service.name": "the script"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(ENDPOINT)))
trace.set_tracer_provider(provider)
with trace.get_tracer("training").start_as_current_span("training"):
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def served(
    home: Path,
    broker_url: str,
    start_builder: Callable[..., BuilderProcess],
    collector: Collector,
) -> Iterator[NotifierProcess]:
    """A builder and a notifier that tell their spans."""
    notifier = NotifierProcess(home, broker_url, **collector.environment).start()
    start_builder(home, DATAMILL_PUBLIC_URL=notifier.url, **collector.environment)
    yield notifier
    assert notifier.stop() == 0


def train(home: Path, broker_url: str, script: str, **environment: str) -> dict[str, str]:
    """Run a training script beside the service; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "DATAMILL_HOME": str(home),
            "DATAMILL_BROKER_URL": broker_url,
            "DATAMILL_CACHE": str(home / "cache"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


def test_a_trace_from_the_request_to_the_last_shard(
    served: NotifierProcess, collector: Collector, home: Path, broker_url: str
) -> None:
    said = train(home, broker_url, TRAINING, **collector.environment)
    (asked,) = collector.wait("request_dataset")
    assert (asked.service, asked.kind, asked.parent_id) == ("datamill-client", CLIENT, "")
    _check_work(collector, asked.trace_id, asked.span_id, said["id"], said["key"])
    (waited,) = collector.wait("wait", trace_id=asked.trace_id)
    (obtained,) = collector.wait("obtain", trace_id=asked.trace_id)
    (fetched,) = collector.wait("GET /datasets/{name}", trace_id=asked.trace_id)
    assert waited.parent_id == asked.span_id
    assert obtained.parent_id == waited.span_id
    assert (fetched.service, fetched.kind) == ("datamill-notifier", SERVER)
    assert fetched.parent_id == obtained.span_id
    assert fetched.attributes["datamill.status"] == 200
    assert {span.trace_id for span in collector.spans()} == {asked.trace_id}


def test_below_a_span_of_the_script_by_its_own_provider(
    served: NotifierProcess, collector: Collector, home: Path, broker_url: str
) -> None:
    endpoint = collector.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    inside = "".join(f"    {line}\n" for line in TRAINING.strip().splitlines())
    said = train(home, broker_url, f"ENDPOINT = {endpoint!r}" + OWN_PROVIDER + inside)
    (asked,) = collector.wait("request_dataset")
    (training,) = collector.wait("training")
    assert asked.service == training.service == "the script"
    assert asked.parent_id == training.span_id
    _check_work(collector, training.trace_id, asked.span_id, said["id"], said["key"])


def test_a_client_in_another_language(
    served: NotifierProcess, collector: Collector, client: Callable[[], PlainClient]
) -> None:
    trainer = client()
    dataset_id = trainer.ask("toy", headers=HEADERS)
    ready = trainer.wait(dataset_id)
    _check_work(collector, TRACE, SPAN, dataset_id, ready["content_key"])
    told = dict(zip([event["event"] for event in trainer.events], trainer.headers, strict=True))
    for event in ("accepted", "planned", "shard", "ready"):
        assert told[event] == HEADERS, event


def test_over_http(
    served: NotifierProcess, collector: Collector, client: Callable[[], PlainClient]
) -> None:
    trainer = client()
    request = {"dataset_name": "toy", "handler_version": "1.0.0", "dataset_config": {}}
    asked = served.ask("/requests", "POST", json.dumps(request).encode(), HEADERS)
    dataset_id = asked.document["dataset_id"]
    ready = trainer.wait(dataset_id)
    (posted,) = collector.wait("POST /requests", trace_id=TRACE)
    assert posted.parent_id == SPAN
    _check_work(collector, TRACE, posted.span_id, dataset_id, ready["content_key"])


def test_who_sends_no_trace_begins_one(
    served: NotifierProcess, collector: Collector, client: Callable[[], PlainClient]
) -> None:
    trainer = client()
    dataset_id = trainer.ask("toy")
    ready = trainer.wait(dataset_id)
    (accepted,) = collector.wait("accept")
    assert accepted.parent_id == ""
    _check_work(
        collector, accepted.trace_id, accepted.span_id, dataset_id, ready["content_key"], accepted
    )


def test_services_without_opentelemetry_pass_the_trace_on(
    home: Path, start_builder: Callable[..., BuilderProcess], client: Callable[[], PlainClient]
) -> None:
    builder = start_builder(home, DATAMILL_LOG_FORMAT="json")
    trainer = client()
    traced = trainer.ask("toy", headers=HEADERS)
    trainer.wait(traced)
    plain = trainer.ask("toy", config={"prefix": "another"})
    trainer.wait(plain)
    again = trainer.ask("toy", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    trainer.wait(again, after=len(trainer.events))
    told = list(zip(trainer.events, trainer.headers, strict=True))
    last = [headers for event, headers in told if event["event"] == "ready"]
    assert last[0] == HEADERS
    assert last[1] == {}
    assert last[2] == {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "each answer its own"
    lines = [json.loads(line) for line in builder.log().splitlines()]
    printed = [line for line in lines if "writing" in line["message"]]
    assert {(line.get("dataset_id"), line.get("trace_id")) for line in printed} == {
        (traced, TRACE),
        (plain, None),
    }


@pytest.mark.parametrize("sent", ["", "00-0-0-00", f"00-{'0' * 32}-{SPAN}-01", "ff" + "x" * 200])
def test_what_is_no_trace_is_as_good_as_none(
    home: Path,
    start_builder: Callable[..., BuilderProcess],
    client: Callable[[], PlainClient],
    sent: str,
) -> None:
    start_builder(home)
    trainer = client()
    assert trainer.wait(trainer.ask("toy", headers={"traceparent": sent}))["event"] == "ready"
    assert not any(trainer.headers)


def _check_work(
    collector: Collector,
    trace_id: str,
    parent_id: str,
    dataset_id: str,
    content_key: str,
    accepted: Span | None = None,
) -> None:
    """See that all work on a dataset is told, below one span."""
    shards = collector.wait("shard", SHARDS, trace_id)
    (packed,) = collector.wait("pack", trace_id=trace_id)
    (planned,) = collector.wait("plan", trace_id=trace_id)
    (resolved,) = collector.wait("resolve", trace_id=trace_id)
    (taken,) = collector.wait("accept", trace_id=trace_id)
    work = [packed, planned, resolved, *shards]
    for span in work if accepted else [*work, taken]:
        assert (span.service, span.kind) == ("datamill-builder", CONSUMER), span
        assert span.parent_id == parent_id, span
        assert span.attributes["datamill.dataset_id"] == dataset_id
    for span in (packed, planned, *shards):
        assert span.attributes["datamill.content_key"] == content_key
    assert sorted(span.attributes["datamill.shard"] for span in shards) == list(range(SHARDS))
    assert [span.attributes["datamill.records"] for span in shards] == [4] * SHARDS
