"""Publishing one message at a time, each confirmed by the broker before the call returns."""

from __future__ import annotations

import threading
import time
import uuid
from types import TracebackType
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from datamill.broker.connection import HEARTBEAT_SECS, connect, translated
from datamill.errors import BrokerUnavailable


def properties(
    message_id: str | None = None, headers: dict[str, Any] | None = None
) -> pika.BasicProperties:
    """Return the properties of a persistent JSON message."""
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent.value,
        message_id=message_id or str(uuid.uuid4()),
        timestamp=int(time.time()),
        app_id="datamill",
        headers=headers,
    )


class Publisher:
    """Publishes with confirms on a connection of its own, from any thread, one call at a time.

    The connection is made at the first call and again when the broker has closed it meanwhile.
    """

    def __init__(
        self, url: str, name: str = "datamill publisher", blocked_timeout_secs: float = 30.0
    ) -> None:
        self._url = url
        self._name = name
        self._blocked_timeout_secs = blocked_timeout_secs
        self._lock = threading.Lock()
        self._connection: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._used_at = 0.0

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        message_id: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> None:
        """Publish a persistent, mandatory message; return once the broker has confirmed it.

        Raises `Unroutable` (no queue takes it), `BrokerBusy`, `BrokerRefused` or
        `BrokerUnavailable`. After the last one it is unknown whether the message went: publish
        again with the same `message_id`.
        """
        message = properties(message_id, headers)
        with self._lock:
            try:
                self._publish(exchange, routing_key, body, message)
            except BrokerUnavailable:
                # A connection that idled may be dead; the message keeps its id over the retry.
                self._drop()
                self._publish(exchange, routing_key, body, message)

    def _publish(self, exchange: str, key: str, body: bytes, message: pika.BasicProperties) -> None:
        with translated(self._url):
            self._open().basic_publish(exchange, key, body, message, mandatory=True)
        self._used_at = time.monotonic()

    def _open(self) -> BlockingChannel:
        idle = time.monotonic() - self._used_at
        if self._connection and self._connection.is_open and idle > HEARTBEAT_SECS:
            self._connection.process_data_events(0)
        if not (self._connection and self._connection.is_open):
            self._connection = connect(self._url, self._name, self._blocked_timeout_secs)
            self._channel = None
        if not (self._channel and self._channel.is_open):
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        return self._channel

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection and connection.is_open:
            with translated(self._url):
                connection.close()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            try:
                self._drop()
            except BrokerUnavailable:
                return

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
