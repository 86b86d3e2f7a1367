"""Consuming, with recovery: the broker may go away, cancel a consumer or delete a queue.

Each consumer is one thread that owns one connection; no other thread touches it but by
`add_callback_threadsafe`. pika says nothing when the broker cancels a consumer or closes a
channel, so every turn of the loop looks.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError, ConnectionClosedByBroker

from datamill import topology
from datamill.broker.connection import connect, translated
from datamill.broker.pauses import Pauses
from datamill.errors import BrokerRefused, BrokerUnavailable, DatamillError, TopologyMismatch
from datamill.trace_context import TraceContext

log = logging.getLogger(__name__)

TURN_SECS = 0.5
"""How long the network is waited for at a time."""

QUIET_SECS = 15.0
"""After how long without a delivery a consumer gets a new channel.

When a quorum queue is deleted and declared again at once, RabbitMQ (seen on 3.10.8) tells nobody:
the connection and the channel stay open, no consumer is cancelled, and the broker goes on to
deliver on a channel that drops what comes. The queue then shows a consumer, and no message that
is ready: no question finds it. Once the channel closes, all of it goes to the new one.
"""

_INTERNAL_ERROR = 541


@dataclass(frozen=True)
class Delivery:
    """A message as it came."""

    body: bytes
    routing_key: str
    message_id: str | None
    redelivered: bool
    tag: int = field(repr=False)
    trace: TraceContext | None = None
    """The trace that its sender says it belongs to."""
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    """As the sender wrote them: anything."""


def received(method: Any, properties: Any, body: bytes) -> Delivery:
    """Return a delivery, of what pika hands to a callback."""
    return Delivery(
        body,
        method.routing_key,
        properties.message_id,
        method.redelivered,
        method.delivery_tag,
        TraceContext.received(properties.headers),
        properties.headers,
    )


class _Resubscribe(BrokerUnavailable):
    """The broker ended a channel or a consumer."""


class Consumer(threading.Thread, ABC):
    """The loop that all consumers share: connect, subscribe, take turns; again when it breaks."""

    def __init__(self, url: str, name: str, queue_name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._queue_name = queue_name
        self._stopping = threading.Event()
        self._connection: BlockingConnection | None = None
        self._lost = False
        self._pauses = Pauses()
        self.subscribed = threading.Event()
        """Set while messages can arrive."""
        self.fatal: DatamillError | None = None
        """Why this consumer gave up for good, if it did."""

    def run(self) -> None:
        """Consume until stopped; give up only where trying again can't help."""
        while not self._stopping.is_set():
            try:
                self._consume()
            except (BrokerRefused, TopologyMismatch) as error:
                self.fatal = error
                return
            except DatamillError as error:
                log.warning("%s: %s; trying again", self.name, error)
            finally:
                self.subscribed.clear()
            self._stopping.wait(0 if self._stopping.is_set() else self._pauses.next())

    def _consume(self) -> None:
        with translated(self._url):
            connection = connect(self._url, self.name)
            try:
                channel = connection.channel()
                topology.declare(channel)
                self._lost = False
                self._connection = connection
                with self._told_when_lost():
                    self._subscribe(connection)
                self.subscribed.set()
                self._pauses.worked()
                while not self._stopping.is_set():
                    connection.process_data_events(TURN_SECS)
                    self._turn(connection)
                    if self._lost:
                        self._on_broken()
                        raise _Resubscribe("the broker cancelled a consumer")
                    if not self._channels_open():
                        self._on_broken()
                        raise _Resubscribe("the broker closed a channel")
                self._drain(connection)
            finally:
                self._connection = None
                if connection.is_open:
                    connection.close()

    @contextmanager
    def _told_when_lost(self) -> Iterator[None]:
        """Say what to do about a queue that is listed and has nothing behind it any more."""
        try:
            yield
        except ConnectionClosedByBroker as error:
            if error.reply_code != _INTERNAL_ERROR:
                raise
            raise BrokerUnavailable(
                f"the broker can't read its queue {self._queue_name} ({error.reply_code} "
                f"{error.reply_text}); if it stays so, it has lost the queue: delete it there, "
                "and it is declared again"
            ) from error

    def _watched(self, channel: BlockingChannel) -> BlockingChannel:
        channel.add_on_cancel_callback(self._on_lost)
        return channel

    def _on_lost(self, _frame: Any) -> None:
        self._lost = True

    def stop(self) -> None:
        """Take no more work; from any thread."""
        self._stopping.set()
        self._wake(lambda: None)

    def join_until(self, deadline: float) -> None:
        """Wait for the end, at most until a moment of the monotonic clock."""
        self.join(max(0.0, deadline - time.monotonic()))

    def _wake(self, callback: Callable[[], None]) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.add_callback_threadsafe(callback)
        except AMQPError:
            return  # the connection closed meanwhile; the broker gives its deliveries to others

    @abstractmethod
    def _subscribe(self, connection: BlockingConnection) -> None: ...

    @abstractmethod
    def _channels_open(self) -> bool: ...

    def _turn(self, connection: BlockingConnection) -> None:
        """Do what is due after each look at the network."""

    def _on_broken(self) -> None:
        """Learn from a channel or a consumer that the broker has ended."""

    def _drain(self, connection: BlockingConnection) -> None:
        """Finish what is in hand before the connection closes."""
