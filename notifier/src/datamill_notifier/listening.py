"""From the events exchange to the hub: one thread that owns one connection."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import CancelledError
from contextlib import suppress

from datamill.broker import Delivery
from datamill.broker.event_consumer import EventConsumer
from datamill.errors import DecodeError
from datamill.events import decode_event
from datamill_notifier.hub import Hub, Message

log = logging.getLogger(__name__)


class HubFeeder:
    """Hands events over to the loop's hub, and waits until they are handed out.

    So it is the broker that keeps what the loop has no time for. `feed` runs in the listener's
    thread; the loop lives longer, as a rule.
    """

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop

    def feed(self, deliveries: list[Delivery]) -> None:
        """Hand over what arrived; what is no event is left out."""
        messages = [message for delivery in deliveries if (message := _message(delivery))]
        if messages and not self._loop.is_closed():
            publishing = asyncio.run_coroutine_threadsafe(self._hub.publish(messages), self._loop)
            with suppress(CancelledError):  # the loop has ended
                publishing.result()


def consumer(url: str, feeder: HubFeeder) -> EventConsumer:
    """Return the thread that listens to all events; it is to be started."""
    return EventConsumer(url, "datamill notifier events", feeder.feed)


def _message(delivery: Delivery) -> Message | None:
    try:
        event = decode_event(delivery.body)
    except DecodeError as error:
        log.warning("a message on the events exchange was left out: it %s", error)
        return None
    # Bodies go on as they came: a later version's fields are not ours to drop.
    body = delivery.body.decode()
    return Message(delivery.message_id or event.time, event.event, event.dataset_id, body)
