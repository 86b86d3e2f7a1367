"""All events, for a service that hands them on: in batches, with the broker keeping the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from datamill import topology
from datamill.broker.consumer import Consumer, Delivery, received

_ALL_EVENTS = "dataset.#"

_QUEUE_ARGUMENTS = {
    # Exclusive queues are classic everywhere; a virtual host may have another default type.
    "x-queue-type": "classic",
    # A service that hangs must not fill the broker's memory: the oldest events go first.
    "x-max-length": 100_000,
}


BIND_AGAIN_SECS = 30.0
"""How often the binding is made again: nothing tells when it went with a deleted exchange."""


class EventConsumer(Consumer):
    """Hands over all events as they arrive, several at a time, in its own thread.

    What comes while `handle` works stays in the queue; no heartbeat is answered meanwhile, so it
    must take seconds at most. Events of a time without a connection are missed: who needs the
    state reads it, once `subscribed` is set; `on_gap` is called before the first event that comes
    after such a time. `listener.EventListener` is for clients: bindings that come and go, no right
    to declare anything.
    """

    def __init__(
        self,
        url: str,
        name: str,
        handle: Callable[[list[Delivery]], None],
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(url, name, "")  # the server names the queue
        self._handle_batch = handle
        self._on_gap = on_gap
        self._batch: list[Delivery] = []
        self._channel: BlockingChannel | None = None
        self._bind_at = 0.0

    def _subscribe(self, connection: BlockingConnection) -> None:
        self._batch = []
        self._on_gap()
        channel = self._channel = self._watched(connection.channel())
        declared = channel.queue_declare(
            "", exclusive=True, auto_delete=True, arguments=_QUEUE_ARGUMENTS
        )
        self._queue_name = declared.method.queue
        self._bind(channel)
        # Events are hints: nothing is gained by acknowledging each.
        channel.basic_consume(self._queue_name, self._on_message, auto_ack=True)

    def _bind(self, channel: BlockingChannel) -> None:
        channel.queue_bind(self._queue_name, topology.EVENTS_EXCHANGE, _ALL_EVENTS)
        self._bind_at = time.monotonic() + BIND_AGAIN_SECS

    def _channels_open(self) -> bool:
        return self._channel is not None and self._channel.is_open

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._batch.append(received(method, properties, body))

    def _turn(self, _connection: BlockingConnection) -> None:
        batch, self._batch = self._batch, []
        if batch:
            self._handle_batch(batch)
        if self._channel is not None and time.monotonic() > self._bind_at:
            self._bind(self._channel)
