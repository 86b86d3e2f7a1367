"""From a request for a dataset that is there to its `ready`, beside the broker's own round trip.

Both on the same node, turn by turn, by the same client code, a connection for publishing and one
for receiving:

- bare: publish (persistent, confirmed) → a consumer of a quorum queue → publish (persistent,
  confirmed) → receive;
- hit: publish a request → intake, catalog, outbox → `dataset.ready.<id>` → receive.

A round is 200 of each. The medians are those of an idle machine; the 99th percentiles those while
a build of photographs uses all cores.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika

from benchmarks.command import answer
from benchmarks.measuring import Comparison, Limit
from benchmarks.photographs import EXAMPLE_CONFIG, link_classes
from benchmarks.service import Running, cores, service
from datamill import topology
from datamill.request import Request
from tests.support.toy import make_toy, write_items

TRIPS = 200
PHOTOGRAPHS = 20_000
_PERSISTENT = 2


def measure(rounds: int) -> list[Comparison]:
    """Ask, in turns, on an idle machine and beside a build."""
    with service(DATAMILL_WORKERS=str(cores())) as running:
        make_toy(running.home / "wheels")
        write_items(running.raw, [f"item {number}" for number in range(20)])
        _declare_bare(running.broker_url)
        with _echoing(running.broker_url):
            bare, hit = _ways(running)
            _trips(bare, hit, TRIPS)
            idle = [_trips(bare, hit, TRIPS) for _ in range(rounds)]
            with _building(running):
                busy = [_trips(bare, hit, TRIPS) for _ in range(rounds)]
    return [
        _comparison("hit, median", idle, statistics.median, 2.0),
        _comparison("hit beside a build, 99th percentile", busy, _p99, 4.0),
    ]


Times = tuple[list[float], list[float]]
"""Milliseconds of bare round trips, and of hits."""


def _comparison(
    question: str, taken: list[Times], figure: Callable[[list[float]], float], limit: float
) -> Comparison:
    bare, hits = (tuple(figure(times[which]) for times in taken) for which in (0, 1))
    return Comparison(question, "ms", hits, "bare round trip", bare, Limit.times_at_most(limit))


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _trips(bare: Callable[[], float], hit: Callable[[], float], count: int) -> Times:
    pairs = [(bare() * 1e3, hit() * 1e3) for _ in range(count)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _ways(running: Running) -> tuple[Callable[[], float], Callable[[], float]]:
    """Return the bare round trip and a hit; the dataset is built meanwhile."""
    request = Request.of("toy", "1.0.0", {})
    key, body = topology.request_key("toy"), request.encode()
    bare = Requester(running.broker_url, "bare.events", "#")
    hit = Requester(
        running.broker_url, topology.EVENTS_EXCHANGE, f"dataset.ready.{request.dataset_id}"
    )
    hit.round_trip(topology.REQUESTS_EXCHANGE, key, body)
    return (
        lambda: bare.round_trip("bare.in", "bare.request", body),
        lambda: hit.round_trip(topology.REQUESTS_EXCHANGE, key, body),
    )


class Requester:
    """A client with a connection for publishing and one for receiving, as the house rule says."""

    def __init__(self, url: str, exchange: str, binding: str) -> None:
        self._publishing = pika.BlockingConnection(pika.URLParameters(url)).channel()
        self._publishing.confirm_delivery()
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = self._connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, exchange, binding)
        channel.basic_consume(queue, self._on_message, auto_ack=True)
        self._received: bytes | None = None

    def _on_message(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        self._received = body

    def round_trip(self, exchange: str, key: str, body: bytes, timeout_secs: float = 60.0) -> float:
        """Publish, wait for the answer; return seconds."""
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=_PERSISTENT, message_id=str(uuid.uuid4())
        )
        self._received = None
        began = time.perf_counter()
        self._publishing.basic_publish(exchange, key, body, properties, mandatory=True)
        while self._received is None:
            self._connection.process_data_events(1.0)
            if time.perf_counter() - began > timeout_secs:
                raise TimeoutError(f"no answer on {exchange}")
        return time.perf_counter() - began


@contextmanager
def _building(running: Running) -> Iterator[None]:
    """Have a build use all cores, from its first shard on; it never comes to its end."""
    link_classes(running.raw / "classification", PHOTOGRAPHS)
    client = running.client()
    try:
        dataset_id = client.ask("classification", "1.0.0", EXAMPLE_CONFIG)
        client.wait(dataset_id, "shard", timeout_secs=300)
        yield
        client.listen(0.1)
        assert "ready" not in client.seen(dataset_id), "the build ended while it was to be busy"
    finally:
        client.close()


@contextmanager
def _echoing(url: str) -> Iterator[None]:
    """Run the bare peer in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    peer = context.Process(target=_echo, args=(url, ready), daemon=True)
    peer.start()
    assert ready.wait(60), "the bare peer did not start"
    try:
        yield
    finally:
        peer.terminate()
        peer.join(10)


def _echo(url: str, ready: Any) -> None:
    """Consume from a quorum queue, publish what came to a topic exchange."""
    consuming = pika.BlockingConnection(pika.URLParameters(url))
    publishing = pika.BlockingConnection(pika.URLParameters(url)).channel()
    publishing.confirm_delivery()
    channel = consuming.channel()
    channel.basic_qos(prefetch_count=200)

    def answer(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        properties = pika.BasicProperties(delivery_mode=_PERSISTENT)
        publishing.basic_publish("bare.events", "bare.ready", body, properties)
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume("bare.requests", answer)
    ready.set()
    channel.start_consuming()


def _declare_bare(url: str) -> None:
    """Make the bare peer's queue and exchanges: the same kinds as Datamill's."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.exchange_declare("bare.events", "topic", durable=True)
        channel.exchange_declare("bare.in", "topic", durable=True)
        channel.queue_declare("bare.requests", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind("bare.requests", "bare.in", "#")


if __name__ == "__main__":
    answer(__doc__, measure)
