"""Trainers that know the contracts alone: AMQP and JSON, nothing of Datamill."""

from __future__ import annotations

import json
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError

from tests.soak.asking import Asked, requests_of

REPEAT_SECS = 10.0
"""Who waits asks again so often: an event may be missed."""

_TURN_SECS = 0.5
_RECONNECT_SECS = 0.5
_TRANSPORT_ERRORS = (AMQPError, AMQPConnectorException, OSError)


@dataclass(frozen=True)
class Answered:
    """A request that was confirmed, and the event that answered it."""

    asked: Asked
    event: dict[str, Any]
    secs: float


class Trainer(threading.Thread):
    """Asks, waits for the answer, pauses, asks for the next, until told to stop.

    One thread, one connection; whatever breaks it is met by connecting again.
    """

    def __init__(self, seed: int, number: int, url: str) -> None:
        super().__init__(name=f"trainer {number}", daemon=True)
        self._seed = seed
        self._number = number
        self._url = url
        self._stopping = threading.Event()
        self._channel: Any = None
        self._events: list[dict[str, Any]] = []
        self.answered: list[Answered] = []
        self.waiting: Asked | None = None
        """What was asked for and is not answered yet."""

    def stop(self) -> None:
        """Ask for nothing more; what is asked for is waited for."""
        self._stopping.set()

    def run(self) -> None:
        for asked, pause_secs in requests_of(self._seed, self._number):
            if self._stopping.is_set():
                break
            began = time.monotonic()
            self.waiting = asked
            event = self._answer(asked)
            self.waiting = None
            self.answered.append(Answered(asked, event, time.monotonic() - began))
            self._stopping.wait(pause_secs)
        self._close()

    def _answer(self, asked: Asked) -> dict[str, Any]:
        message_id = str(uuid.uuid4())
        while True:
            try:
                return self._ask_and_wait(asked, message_id)
            except _TRANSPORT_ERRORS:
                self._close()
                time.sleep(_RECONNECT_SECS)  # not a condition: another try of the network

    def _ask_and_wait(self, asked: Asked, message_id: str) -> dict[str, Any]:
        channel = self._open(asked.dataset_id)
        self._events.clear()
        while True:
            self._publish(channel, asked, message_id)
            ask_again_at = time.monotonic() + REPEAT_SECS
            while time.monotonic() < ask_again_at:
                for event in self._events:
                    if event["event"] in ("ready", "failed"):
                        return event
                channel.connection.process_data_events(_TURN_SECS)
                if channel.is_closed or not channel.consumer_tags:
                    raise AMQPError("the broker ended the subscription")

    def _open(self, dataset_id: str) -> Any:
        """Return a channel that hears of the dataset, and of no other."""
        self._close()
        parameters = pika.URLParameters(self._url)
        parameters.heartbeat = 10
        parameters.blocked_connection_timeout = 10
        parameters.socket_timeout = 5
        parameters.stack_timeout = 10
        channel = pika.BlockingConnection(parameters).channel()
        self._channel = channel
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "dataset.events", f"dataset.*.{dataset_id}")
        channel.basic_consume(queue, self._on_event, auto_ack=True)
        return channel

    def _publish(self, channel: Any, asked: Asked, message_id: str) -> None:
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=2, message_id=message_id
        )
        key = f"dataset.request.{asked.name}"
        body = json.dumps(asked.document).encode()
        channel.basic_publish("dataset.requests", key, body, properties, mandatory=True)

    def _on_event(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        self._events.append(json.loads(body))

    def _close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        try:
            channel.connection.close()
        except _TRANSPORT_ERRORS:
            return
