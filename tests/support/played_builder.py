"""The builder's side of the contract, played with pika: it answers requests as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pika

from datamill import topology
from datamill.events import Event
from datamill.request import Request

Answer = Callable[[Request, str], Sequence[Event]]
"""From a request and its message id to the events that answer it."""


class PlayedBuilder(threading.Thread):
    """Takes requests and publishes events; use it in a `with`."""

    def __init__(self, url: str, answer: Answer) -> None:
        super().__init__(daemon=True)
        self.answer = answer
        self.requests: list[tuple[Request, str]] = []
        """Every request that came, with its message id."""
        self.headers: list[Any] = []
        """The headers of each."""
        self._url = url
        self._ready = threading.Event()
        self._stopping = False

    def run(self) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(self._url))
        self._channel = self._connection.channel()
        topology.declare(self._channel)
        self._channel.basic_consume(topology.REQUESTS_QUEUE, self._on_request)
        self._ready.set()
        while not self._stopping:
            self._connection.process_data_events(0.5)
        self._connection.close()

    def _on_request(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        request = Request.decode(body)
        self.headers.append(properties.headers)
        self.requests.append((request, properties.message_id))
        for event in self.answer(request, properties.message_id):
            self._send(event)
        channel.basic_ack(method.delivery_tag)

    def publish(self, *events: Event) -> None:
        """Publish events now, from any thread."""
        for event in events:
            self._connection.add_callback_threadsafe(lambda event=event: self._send(event))

    def _send(self, event: Event) -> None:
        self._channel.basic_publish(topology.EVENTS_EXCHANGE, event.routing_key, event.encode())

    def __enter__(self) -> PlayedBuilder:
        self.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping = True
        self._connection.add_callback_threadsafe(lambda: None)
        self.join(20)
