"""A client of the contracts alone: pika and JSON, nothing of Datamill."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pika
import rfc8785


class PlainClient:
    """Asks for datasets and listens, as a program in another language would."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self.queue = self._channel.queue_declare("", exclusive=True).method.queue
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, Any]] = []
        """The headers of each event's message."""
        self.asked: list[str] = []
        """The ids that were asked for, in order."""
        self._channel.queue_bind(self.queue, "dataset.events", "#")
        self._channel.basic_consume(self.queue, self._on_event, auto_ack=True)

    def _on_event(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        event = json.loads(body)
        assert method.routing_key == f"dataset.{event['event']}.{event['dataset_id']}"
        self.events.append(event)
        self.headers.append(properties.headers or {})

    def ask(
        self,
        name: str,
        version: str = "1.0.0",
        config: Any = None,
        message_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> str:
        """Ask for a dataset; return its id, computed as the contract says."""
        request = {"dataset_name": name, "handler_version": version, "dataset_config": config or {}}
        self.send(json.dumps(request).encode(), f"dataset.request.{name}", message_id, headers)
        self.asked.append(hashlib.sha256(rfc8785.dumps(request)).hexdigest())
        return self.asked[-1]

    def send(
        self,
        body: bytes,
        key: str = "dataset.request.toy",
        message_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Publish any bytes to the requests exchange, confirmed."""
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=message_id or str(uuid.uuid4()),
            headers=headers,
        )
        self._channel.basic_publish("dataset.requests", key, body, properties, mandatory=True)

    def wait(
        self, dataset_id: str, *events: str, timeout_secs: float = 60.0, after: int = 0
    ) -> dict[str, Any]:
        """Return the first of some events about a dataset; `after`: so many seen before are old."""
        deadline = time.monotonic() + timeout_secs
        wanted = events or ("ready", "failed")
        while time.monotonic() < deadline:
            for event in self.events[after:]:
                if event["dataset_id"] == dataset_id and event["event"] in wanted:
                    return event
            self._connection.process_data_events(0.05)
        raise AssertionError(f"no {wanted} for {dataset_id[:12]}; seen: {self.seen(dataset_id)}")

    def listen(self, secs: float) -> None:
        """Take in whatever arrives for some time."""
        deadline = time.monotonic() + secs
        while (left := deadline - time.monotonic()) > 0:
            self._connection.process_data_events(left)

    def seen(self, dataset_id: str) -> list[str]:
        """Return the names of the events seen about a dataset, in order."""
        return [event["event"] for event in self.events if event["dataset_id"] == dataset_id]

    def depth(self, queue: str) -> int:
        """Return how many messages are ready in a queue."""
        return int(self._channel.queue_declare(queue, passive=True).method.message_count)

    @property
    def is_open(self) -> bool:
        """Whether it is still connected."""
        return bool(self._connection.is_open)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(pika.exceptions.AMQPError):  # the broker may have done so
            self._connection.close()


Connect = Callable[[], PlainClient]
"""What the fixture `client` is."""
