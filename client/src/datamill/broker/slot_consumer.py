"""Consuming work that takes long: each delivery goes to one of several threads."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from datamill.broker.consumer import QUIET_SECS, TURN_SECS, Consumer, Delivery, received

log = logging.getLogger(__name__)

HOLD_SECS = 15.0
"""How long a delivery is held for its work: half of the shortest time that an operator may want."""
_LEAST_HOLD_SECS = 2.0


@dataclass
class _Slot:
    index: int
    inbox: queue.SimpleQueue[Delivery | None] = field(default_factory=queue.SimpleQueue)
    channel: BlockingChannel | None = None
    consumer_tag: str | None = None
    delivery: Delivery | None = None
    busy: bool = False
    busy_since: float = 0.0
    quiet_since: float = 0.0


class SlotConsumer(Consumer):
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
            self._open(slot, connection)

    def _open(self, slot: _Slot, connection: BlockingConnection) -> None:
        slot.channel = self._watched(connection.channel())
        slot.channel.basic_qos(prefetch_count=1)
        slot.delivery = slot.consumer_tag = None
        if not slot.busy:
            self._listen(slot)

    def _listen(self, slot: _Slot) -> None:
        slot.quiet_since = time.monotonic()
        if slot.channel is None or slot.consumer_tag or self._stopping.is_set():
            return

        def on_message(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            slot.delivery = received(method, properties, body)
            slot.busy, slot.busy_since = True, time.monotonic()
            slot.inbox.put(slot.delivery)

        slot.consumer_tag = slot.channel.basic_consume(self._queue_name, on_message)

    def _finish(self, slot: _Slot, done: Delivery) -> None:
        """Acknowledge, in the connection's thread, unless the connection is another by now."""
        if slot.delivery is done:
            if slot.channel is not None and slot.channel.is_open:
                slot.channel.basic_ack(done.tag)
            slot.delivery = None
        if slot.channel is not None and slot.channel.is_open:
            self._listen(slot)

    def _channels_open(self) -> bool:
        return all(slot.channel is not None and slot.channel.is_open for slot in self._slots)

    def _turn(self, connection: BlockingConnection) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.delivery:
                if now - slot.busy_since > self._hold_secs:
                    self._release(slot)
            elif slot.busy or slot.channel is None or not slot.channel.is_open:
                continue
            elif slot.consumer_tag is None:
                self._listen(slot)
            elif now - slot.quiet_since > QUIET_SECS:
                slot.channel.close()
                self._open(slot, connection)

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
            connection.process_data_events(TURN_SECS)
