"""Consuming, with recovery: the broker may go away, cancel a consumer or delete a queue.

Each consumer is one thread that owns one connection; no other thread touches it but by
`add_callback_threadsafe`. pika says nothing when the broker cancels a consumer or closes a
channel, so every turn of the loop looks.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError

from datamill import topology
from datamill.broker.connection import connect, translated
from datamill.broker.overlooked import Overlooked
from datamill.broker.pauses import Pauses, backoff
from datamill.errors import BrokerRefused, BrokerUnavailable, DatamillError, TopologyMismatch
from datamill.request import MAX_MESSAGE_BYTES

log = logging.getLogger(__name__)

_TURN_SECS = 0.5
HOLD_SECS = 15.0
"""How long a delivery is held for its work: half of the shortest time that an operator may want."""
_LEAST_HOLD_SECS = 2.0


@dataclass(frozen=True)
class Delivery:
    """A message as it came."""

    body: bytes
    routing_key: str
    message_id: str | None
    redelivered: bool
    tag: int = field(repr=False)


class _Resubscribe(BrokerUnavailable):
    """The broker ended a channel or a consumer."""


class _Consumer(threading.Thread, ABC):
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
                overlooked = Overlooked(channel, self._queue_name)
                self._subscribe(connection)
                self.subscribed.set()
                self._pauses.worked()
                while not self._stopping.is_set():
                    connection.process_data_events(_TURN_SECS)
                    self._turn()
                    if self._lost:
                        self._on_broken()
                        raise _Resubscribe("the broker cancelled a consumer")
                    if not self._channels_open():
                        self._on_broken()
                        raise _Resubscribe("the broker closed a channel")
                    if overlooked.look(self._waiting()):
                        raise _Resubscribe("the broker has forgotten a consumer")
                self._drain(connection)
            finally:
                self._connection = None
                if connection.is_open:
                    connection.close()

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

    def _turn(self) -> None:
        """Do what is due after each look at the network."""

    def _waiting(self) -> Set[Hashable]:
        """Return who waits for a delivery, as `Overlooked.look` wants it."""
        return frozenset()

    def _on_broken(self) -> None:
        """Learn from a channel or a consumer that the broker has ended."""

    def _drain(self, connection: BlockingConnection) -> None:
        """Finish what is in hand before the connection closes."""


class BatchConsumer(_Consumer):
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
        self._received = 0
        self._failures = 0
        self._handle_at = 0.0
        self._channel: BlockingChannel | None = None

    def _subscribe(self, connection: BlockingConnection) -> None:
        self._batch = []
        self._failures, self._handle_at = 0, 0.0
        self._channel = self._watched(connection.channel())
        self._channel.basic_qos(prefetch_count=self._prefetch)
        self._channel.basic_consume(self._queue_name, self._on_message)

    def _channels_open(self) -> bool:
        return self._channel is not None and self._channel.is_open

    def _waiting(self) -> Set[Hashable]:
        return frozenset() if self._batch else frozenset({self._received})

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._received += 1
        if len(body) > self._max_body_bytes:
            log.warning("%s: a message of %d bytes was refused unread", self.name, len(body))
            channel.basic_reject(method.delivery_tag, requeue=False)
            return
        self._batch.append(_delivery(method, properties, body))

    def _turn(self) -> None:
        if not self._batch or self._channel is None or time.monotonic() < self._handle_at:
            return
        batch = self._batch
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
            self._channel.basic_ack(batch[-1].tag, multiple=True)
            return
        for delivery, done in zip(batch, verdicts, strict=True):
            if done:
                self._channel.basic_ack(delivery.tag)
            else:
                self._channel.basic_reject(delivery.tag, requeue=False)

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


@dataclass
class _Slot:
    index: int
    inbox: queue.SimpleQueue[Delivery | None] = field(default_factory=queue.SimpleQueue)
    channel: BlockingChannel | None = None
    consumer_tag: str | None = None
    delivery: Delivery | None = None
    busy: bool = False
    busy_since: float = 0.0
    received: int = 0


class SlotConsumer(_Consumer):
    """Hands each delivery to one of `slots` threads, one at a time per thread.

    A delivery is a wake-up: `work(delivery)` claims what there is to do in the catalog, so a
    delivery is acknowledged when `work` returns, however it went. One that takes longer than
    `hold_secs` is acknowledged early and its slot takes no other meanwhile: the broker takes
    back what is held for 30 minutes, or for as long as its operator says, which no client can
    ask. Nothing is lost by that: who finds work that lost its owner puts a ticket back.
    """

    def __init__(
        self,
        url: str,
        name: str,
        queue_name: str,
        slots: int,
        work: Callable[[Delivery], None],
        hold_secs: float = HOLD_SECS,
    ) -> None:
        super().__init__(url, name, queue_name)
        self._work = work
        self._hold_secs = hold_secs
        self._slots = [_Slot(index) for index in range(slots)]
        self._threads = [
            threading.Thread(
                target=self._serve, args=(slot,), name=f"{name}-{slot.index}", daemon=True
            )
            for slot in self._slots
        ]

    def start(self) -> None:
        """Start the slots' threads and the connection's."""
        for thread in self._threads:
            thread.start()
        super().start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the connection is closed and all slots have ended, at most so long."""
        deadline = None if timeout is None else time.monotonic() + timeout
        super().join(timeout)
        for slot in self._slots:
            slot.inbox.put(None)
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _serve(self, slot: _Slot) -> None:
        while (delivery := slot.inbox.get()) is not None:
            try:
                self._work(delivery)
            except Exception:
                log.exception("%s: the work failed in a way that was not foreseen", self.name)
            slot.busy = False
            self._wake(partial(self._finish, slot, delivery))

    def _subscribe(self, connection: BlockingConnection) -> None:
        for slot in self._slots:
            slot.channel = self._watched(connection.channel())
            slot.channel.basic_qos(prefetch_count=1)
            slot.delivery = slot.consumer_tag = None
            if not slot.busy:
                self._listen(slot)

    def _listen(self, slot: _Slot) -> None:
        if slot.channel is None or slot.consumer_tag or self._stopping.is_set():
            return

        def on_message(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            slot.delivery = _delivery(method, properties, body)
            slot.busy, slot.busy_since = True, time.monotonic()
            slot.received += 1
            slot.inbox.put(slot.delivery)

        slot.consumer_tag = slot.channel.basic_consume(self._queue_name, on_message)

    def _finish(self, slot: _Slot, done: Delivery) -> None:
        """Acknowledge, in the connection's thread, unless the connection is another by now."""
        if slot.delivery is done and slot.channel is not None and slot.channel.is_open:
            slot.channel.basic_ack(done.tag)
            slot.delivery = None
        if slot.channel is not None and slot.channel.is_open:
            self._listen(slot)

    def _channels_open(self) -> bool:
        return all(slot.channel is not None and slot.channel.is_open for slot in self._slots)

    def _waiting(self) -> Set[Hashable]:
        return {
            (slot.index, slot.received)
            for slot in self._slots
            if slot.consumer_tag and not slot.busy and not slot.delivery
        }

    def _turn(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.delivery and now - slot.busy_since > self._hold_secs:
                self._release(slot)
            elif not slot.busy and slot.consumer_tag is None:
                self._listen(slot)

    def _on_broken(self) -> None:
        """Hold deliveries for a shorter time: they may have been held for longer than allowed."""
        now = time.monotonic()
        held = max((now - slot.busy_since for slot in self._slots if slot.delivery), default=0.0)
        if held > _LEAST_HOLD_SECS:
            self._hold_secs = min(self._hold_secs, max(_LEAST_HOLD_SECS, held / 2))
            log.info("%s: holds deliveries for %.1f s from now on", self.name, self._hold_secs)

    def _release(self, slot: _Slot) -> None:
        assert slot.channel is not None and slot.delivery is not None
        if slot.consumer_tag:
            slot.channel.basic_cancel(slot.consumer_tag)
            slot.consumer_tag = None
        slot.channel.basic_ack(slot.delivery.tag)
        slot.delivery = None

    def _drain(self, connection: BlockingConnection) -> None:
        for slot in self._slots:
            if slot.channel is not None and slot.consumer_tag:
                slot.channel.basic_cancel(slot.consumer_tag)
                slot.consumer_tag = None
        while any(slot.busy or slot.delivery for slot in self._slots):
            connection.process_data_events(_TURN_SECS)


def _delivery(method: Any, properties: Any, body: bytes) -> Delivery:
    return Delivery(
        body, method.routing_key, properties.message_id, method.redelivered, method.delivery_tag
    )
