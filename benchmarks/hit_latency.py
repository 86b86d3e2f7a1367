"""How long a request for a dataset that is there takes, beside the broker's own round trip.

Both are measured in this run, on the same node, turn by turn, by the same client code:

- bare: publish (persistent, confirmed) → a consumer → publish (persistent, confirmed) → receive;
- hit: publish a request → intake, catalog, outbox → `dataset.ready.<id>` → receive.

Prints both medians and their ratio; with `--at-most 3`, fails where the ratio is larger.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika

from datamill import topology
from datamill.request import Request
from datamill_producer.rabbitmq import PrivateNode, ensure_installation

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.toy import make_toy, write_items

ROUNDS = 500
_PERSISTENT = 2


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


def echo(url: str, ready: Any) -> None:
    """The bare peer: consume from a quorum queue, publish what came to a topic exchange."""
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


def measure(bare: Callable[[], float], hit: Callable[[], float], rounds: int) -> dict[str, float]:
    """Return medians and 99th percentiles in milliseconds, taken turn by turn."""
    for _ in range(50):
        bare(), hit()
    times = [(bare() * 1e3, hit() * 1e3) for _ in range(rounds)]
    bares, hits = [pair[0] for pair in times], [pair[1] for pair in times]
    return {
        "bare_p50_ms": statistics.median(bares),
        "hit_p50_ms": statistics.median(hits),
        "bare_p99_ms": statistics.quantiles(bares, n=100)[98],
        "hit_p99_ms": statistics.quantiles(hits, n=100)[98],
        "ratio_p50": statistics.median(hits) / statistics.median(bares),
    }


def declare_bare(url: str) -> None:
    """Make the bare peer's queue and exchanges: the same kinds as Datamill's."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    topology.declare(channel)
    channel.exchange_declare("bare.events", "topic", durable=True)
    channel.exchange_declare("bare.in", "topic", durable=True)
    channel.queue_declare("bare.requests", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind("bare.requests", "bare.in", "#")
    connection.close()


def run(home: Path, rounds: int) -> dict[str, float]:
    """Start a node, a builder and the bare peer; measure; end them."""
    make_toy(home / "wheels")
    write_items(home / "raw", [f"item {number}" for number in range(20)])
    with PrivateNode(home / "broker", ensure_installation(log=print)) as node:
        node.start()
        declare_bare(node.url)
        environment = {
            **os.environ,
            "DATAMILL_HOME": str(home),
            "DATAMILL_RAW_ROOT": str(home / "raw"),
            "DATAMILL_BROKER_URL": node.url,
            "DATAMILL_HANDLER_SOURCES": str(home / "wheels"),
            "DATAMILL_PUBLIC_URL": "http://127.0.0.1:1",
            "DATAMILL_LOG_LEVEL": "WARNING",
        }
        builder = subprocess.Popen([sys.executable, "-m", "datamill_builder"], env=environment)
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        peer = context.Process(target=echo, args=(node.url, ready), daemon=True)
        peer.start()
        ready.wait(30)
        try:
            return _measure(node.url, rounds)
        finally:
            peer.terminate()
            builder.terminate()
            builder.wait(30)
            peer.join(10)


def _measure(url: str, rounds: int) -> dict[str, float]:
    request = Request.of("toy", "1.0.0", {})
    bare = Requester(url, "bare.events", "#")
    hit = Requester(url, topology.EVENTS_EXCHANGE, f"dataset.ready.{request.dataset_id}")
    key = topology.request_key("toy")
    body = request.encode()
    hit.round_trip(topology.REQUESTS_EXCHANGE, key, body)  # the build itself
    return measure(
        lambda: bare.round_trip("bare.in", "bare.request", body),
        lambda: hit.round_trip(topology.REQUESTS_EXCHANGE, key, body),
        rounds,
    )


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--at-most", type=float, help="fail where hit / bare is larger")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as home:
        result = run(Path(home), arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"bare round trip   p50 {result['bare_p50_ms']:6.2f} ms  "
            f"p99 {result['bare_p99_ms']:6.2f} ms"
        )
        print(
            f"request -> ready  p50 {result['hit_p50_ms']:6.2f} ms  "
            f"p99 {result['hit_p99_ms']:6.2f} ms"
        )
        print(
            f"ratio of medians  {result['ratio_p50']:.2f}   ({arguments.rounds} rounds, in turns)"
        )
    return 1 if arguments.at_most and result["ratio_p50"] > arguments.at_most else 0


if __name__ == "__main__":
    sys.exit(main())
