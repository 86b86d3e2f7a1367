"""Every exchange and queue, with its arguments, on one screen.

Declared by whoever comes first. Arguments can't be changed once a queue exists, so names carry a
version. All arguments mean the same on RabbitMQ 3.10 to 4.x; the reasons stand beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

REQUESTS_EXCHANGE = "dataset.requests"
EVENTS_EXCHANGE = "dataset.events"
WORK_EXCHANGE = "dataset.work"
DEAD_EXCHANGE = "dataset.dlx"

REQUESTS_QUEUE = "dataset.requests.v1"
BUILDS_QUEUE = "dataset.builds.v1"
PACKS_QUEUE = "dataset.packs.v1"
SHARDS_QUEUE = "dataset.shards.v1"
DEAD_QUEUE = "dataset.dead.v1"

BUILD_KEY = "build"
PACK_KEY = "pack"
SHARD_KEY = "shard"
DEAD_KEY = "dead"


@dataclass(frozen=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str


@dataclass(frozen=True)
class Queue:
    """A durable quorum queue and its one binding."""

    name: str
    exchange: str
    binding: str
    arguments: dict[str, Any] = field(default_factory=dict)


EXCHANGES = (
    Exchange(REQUESTS_EXCHANGE, "topic"),
    Exchange(EVENTS_EXCHANGE, "topic"),
    Exchange(WORK_EXCHANGE, "direct"),
    Exchange(DEAD_EXCHANGE, "direct"),
)


def _guarded(max_length: int) -> dict[str, Any]:
    return {
        # Restarts of the broker and clean shutdowns of consumers spend this too: not below 20.
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": DEAD_KEY,
        # At-least-once needs reject-publish: a full queue refuses, it never drops.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-max-length": max_length,
    }


# 3.10 ignores this; from 3.12 a delivery may stay unacknowledged for an hour.
_HELD_FOR_AN_HOUR = {"x-consumer-timeout": 3_600_000}

QUEUES = (
    Queue(REQUESTS_QUEUE, REQUESTS_EXCHANGE, "dataset.request.#", _guarded(50_000)),
    Queue(BUILDS_QUEUE, WORK_EXCHANGE, BUILD_KEY, _guarded(200_000) | _HELD_FOR_AN_HOUR),
    # Apart from the builds': those may all wait for installers.
    Queue(PACKS_QUEUE, WORK_EXCHANGE, PACK_KEY, _guarded(200_000) | _HELD_FOR_AN_HOUR),
    Queue(SHARDS_QUEUE, WORK_EXCHANGE, SHARD_KEY, _guarded(200_000) | _HELD_FOR_AN_HOUR),
    # Looking at dead letters counts as a delivery; the default limit of 4.x would drop them.
    Queue(DEAD_QUEUE, DEAD_EXCHANGE, DEAD_KEY, {"x-delivery-limit": 1_000_000}),
)


def request_key(dataset_name: str) -> str:
    """Return the routing key of a request."""
    return f"dataset.request.{dataset_name}"


class DeclaringChannel(Protocol):
    """What `declare` needs of a channel."""

    def exchange_declare(self, exchange: str, exchange_type: Any, *, durable: bool) -> Any:
        """Declare an exchange."""

    def queue_declare(self, queue: str, *, durable: bool, arguments: dict[str, Any]) -> Any:
        """Declare a queue."""

    def queue_bind(self, queue: str, exchange: str, routing_key: str) -> Any:
        """Bind a queue."""


def declare(channel: DeclaringChannel) -> None:
    """Declare everything; what is there already stays as it is."""
    for exchange in EXCHANGES:
        channel.exchange_declare(exchange.name, exchange.type, durable=True)
    for queue in QUEUES:
        arguments = {"x-queue-type": "quorum", **queue.arguments}
        channel.queue_declare(queue.name, durable=True, arguments=arguments)
        channel.queue_bind(queue.name, queue.exchange, queue.binding)
