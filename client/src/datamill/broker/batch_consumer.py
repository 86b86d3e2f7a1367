"""Consuming in batches: what takes milliseconds is done in the consumer's own thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from datamill.broker.consumer import QUIET_SECS, Consumer, Delivery, received
from datamill.broker.pauses import backoff
from datamill.errors import DatamillError
from datamill.request import MAX_MESSAGE_BYTES

log = logging.getLogger(__name__)

_FLOOD = 20
"""When as many have come as can't be by chance, more are under way."""


class BatchConsumer(Consumer):
    """Hands over what has arrived, as one batch, in its own thread.

    `handle(batch)` returns for each delivery whether it is done with (acknowledged) or refused
    (dead-lettered). It must take milliseconds. If it raises a `DatamillError`, it gets the batch
    again a little later; if it raises anything else, the delivery that makes it do so is refused.

    Bodies above `max_body_bytes` are refused unread, as they arrive: RabbitMQ 3.10 takes messages
    of 128 MiB, and a batch of those would fill the memory.
    """

    def __init__(
        self,
        url: str,
        name: str,
        queue_name: str,
        prefetch: int,
        handle: Callable[[list[Delivery]], list[bool]],
        max_body_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        super().__init__(url, name, queue_name)
        self._prefetch = prefetch
        self._max_body_bytes = max_body_bytes
        self._handle_batch = handle
        self._batch: list[Delivery] = []
        self._quiet_since = 0.0
        self._failures = 0
        self._handle_at = 0.0
        self._channel: BlockingChannel | None = None

    def _subscribe(self, connection: BlockingConnection) -> None:
        self._batch = []
        self._failures, self._handle_at = 0, 0.0
        self._listen(connection)

    def _listen(self, connection: BlockingConnection) -> None:
        self._quiet_since = time.monotonic()
        self._channel = self._watched(connection.channel())
        self._channel.basic_qos(prefetch_count=self._prefetch)
        self._channel.basic_consume(self._queue_name, self._on_message)

    def _channels_open(self) -> bool:
        return self._channel is not None and self._channel.is_open

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._quiet_since = time.monotonic()
        if len(body) > self._max_body_bytes:
            log.warning("%s: a message of %d bytes was refused unread", self.name, len(body))
            channel.basic_reject(method.delivery_tag, requeue=False)
            return
        self._batch.append(received(method, properties, body))

    def _turn(self, connection: BlockingConnection) -> None:
        now = time.monotonic()
        if self._channel is None or not self._channel.is_open:
            return
        if self._batch:
            if now >= self._handle_at:
                self._gather(connection)
                self._settle(self._channel, self._batch)
        elif now - self._quiet_since > QUIET_SECS:
            self._channel.close()
            self._listen(connection)

    def _gather(self, connection: BlockingConnection) -> None:
        """Take what else has come, where it is many: each batch costs a commit."""
        before = 0
        while before + _FLOOD <= len(self._batch) < self._prefetch:
            before = len(self._batch)
            connection.process_data_events(0)

    def _settle(self, channel: BlockingChannel, batch: list[Delivery]) -> None:
        try:
            verdicts = self._verdicts(batch)
        except DatamillError as error:
            # Kept, not given back: the broker counts how often it delivers, and so would
            # dead-letter good messages while a database is away for some minutes.
            self._failures += 1
            self._handle_at = time.monotonic() + backoff(self._failures)
            log.warning("%s: %s; trying again", self.name, error)
            return
        self._batch, self._failures = [], 0
        if all(verdicts):
            channel.basic_ack(batch[-1].tag, multiple=True)
            return
        for delivery, done in zip(batch, verdicts, strict=True):
            if done:
                channel.basic_ack(delivery.tag)
            else:
                channel.basic_reject(delivery.tag, requeue=False)

    def _verdicts(self, batch: list[Delivery]) -> list[bool]:
        try:
            return self._handle_batch(batch)
        except DatamillError:
            raise
        except Exception:
            log.exception("%s: a batch of %d failed", self.name, len(batch))
            # One by one: a message that nothing can be done with must not take others along.
            alone = len(batch) == 1
            return [False] if alone else [self._verdicts([one])[0] for one in batch]
