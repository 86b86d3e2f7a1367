"""From the events exchange to the hub: one thread that owns one connection."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import datetime

from datamill.broker import Delivery
from datamill.broker.event_consumer import EventConsumer
from datamill.errors import DecodeError
from datamill.events import decode_event
from datamill_builder.catalog.counters import Counters
from datamill_notifier import counted
from datamill_notifier.hub import Hub, Message

log = logging.getLogger(__name__)


class HubFeeder:
    """Hands events over to the loop's hub, and waits until they are handed out.

    So it is the broker that keeps what the loop has no time for. `feed` runs in the listener's
    thread; the loop lives longer, as a rule.
    """

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop, counters: Counters) -> None:
        self._hub = hub
        self._loop = loop
        self._counters = counters

    def feed(self, deliveries: list[Delivery]) -> None:
        """Hand over what arrived; what is no event is left out."""
        events = [event for delivery in deliveries if (event := _event(delivery))]
        if events and not self._loop.is_closed():
            handing = self._hub.publish([message for message, _ in events])
            publishing = asyncio.run_coroutine_threadsafe(handing, self._loop)
            with suppress(CancelledError):  # the loop has ended
                publishing.result()
            for _, told_at in events:
                self._count_lag(told_at)

    def _count_lag(self, told_at: str) -> None:
        try:
            lag_secs = time.time() - datetime.fromisoformat(told_at).timestamp()
        except (ValueError, OverflowError, OSError):
            return  # somebody else's event: its time is none
        self._counters.observe(counted.EVENT_LAG_SECS, max(0.0, lag_secs))  # clocks may differ

    def gap(self) -> None:
        """Tell the hub that events may have been missed."""
        if not self._loop.is_closed():
            with suppress(RuntimeError):  # it ends just now
                self._loop.call_soon_threadsafe(self._hub.recent.forget)


def consumer(url: str, feeder: HubFeeder) -> EventConsumer:
    """Return the thread that listens to all events; it is to be started."""
    return EventConsumer(url, "datamill notifier events", feeder.feed, feeder.gap)


def _event(delivery: Delivery) -> tuple[Message, str] | None:
    """Return an event, and when it was told."""
    try:
        event = decode_event(delivery.body)
    except DecodeError as error:
        log.warning("a message on the events exchange was left out: it %s", error)
        return None
    # Bodies go on as they came: a later version's fields are not ours to drop.
    body = delivery.body.decode()
    message = Message(delivery.message_id or event.time, event.event, event.dataset_id, body)
    return message, event.time
