"""A session over the broker: one connection that listens, one that publishes.

The order in which a dataset is asked for: queue, binding, consumer, then the request, confirmed.
So no event that answers it can be missed; if one is lost all the same, asking again brings it
back.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable

from datamill import topology
from datamill.broker import Publisher
from datamill.broker.listener import EventListener, declare_topology
from datamill.client_name import CLIENT_FIELD
from datamill.errors import BrokerRefused, DatamillError, DecodeError, Unroutable
from datamill.events import decode_event
from datamill.session import PATIENCE_SECS, REPEAT_SECS, Session
from datamill.subscription import Subscription
from datamill.tracker import Tracker

log = logging.getLogger(__name__)

_IDLE_SECS = 5.0
"""A publishing connection that idles longer is closed: nobody answers its heartbeats."""
_RETRY_SECS = 2.0
_CLOSE_TIMEOUT_SECS = 2.0


class BrokerSession(Session):
    """Two threads: the listener's feeds the trackers, the asker's repeats unanswered requests."""

    def __init__(
        self,
        url: str,
        http_url: str | None,
        repeat_secs: float = REPEAT_SECS,
        client: str | None = None,
    ) -> None:
        self.http_url = http_url
        self._headers: dict[str, str | int] = {CLIENT_FIELD: client} if client else {}
        self._url = url
        self._repeat_secs = repeat_secs
        self._name = f"datamill client {os.getpid()}"
        self._guard = threading.Lock()
        self._trackers: dict[str, weakref.WeakSet[Tracker]] = {}
        self._due: weakref.WeakKeyDictionary[Tracker, float] = weakref.WeakKeyDictionary()
        self._subscriptions: list[Subscription] = []
        self._published_at = time.monotonic()
        self._bind_at = time.monotonic() + repeat_secs
        self._publisher = Publisher(url, self._name)
        self._listener = EventListener(
            url, self._name, self._on_event, self._on_subscribed, self._on_fatal
        )
        self._nudge = threading.Event()
        self._stopping = False
        self._asker = threading.Thread(target=self._repeat, name=self._name, daemon=True)
        self._listener.start()
        self._asker.start()

    # --- for any thread ---

    def ask(self, tracker: Tracker, patience_secs: float = PATIENCE_SECS) -> None:
        """Listen for the dataset's events, then publish the request, confirmed."""
        self.watch(tracker, patience_secs)
        self._publish(tracker)
        with self._guard:
            self._due[tracker] = time.monotonic() + self._repeat_secs
        if self._repeat_secs < _IDLE_SECS:
            self._nudge.set()  # the asker sleeps longer than that

    def watch(self, tracker: Tracker, patience_secs: float = PATIENCE_SECS) -> None:
        """Listen for the dataset's events."""
        with self._guard:
            self._trackers.setdefault(tracker.dataset_id, weakref.WeakSet()).add(tracker)
        self._listener.bind(_key(tracker.dataset_id), patience_secs)

    def subscribe(self, pattern: str) -> Subscription:
        """Return the events of a pattern; they arrive from now on."""
        subscription = Subscription(pattern, self._unsubscribe)
        with self._guard:
            self._subscriptions.append(subscription)
        try:
            self._listener.bind(pattern, PATIENCE_SECS)
        except DatamillError:
            subscription.close()
            raise
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._guard:
            self._subscriptions.remove(subscription)
            self._unbind_unused([subscription.pattern])

    def close(self) -> None:
        """End both threads and close both connections."""
        self._stopping = True
        self._nudge.set()
        self._listener.stop()
        with self._guard:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()
        self._asker.join(_CLOSE_TIMEOUT_SECS)
        self._listener.join(_CLOSE_TIMEOUT_SECS)
        if not self._asker.is_alive():
            self._publisher.close()

    # --- the listener's thread ---

    def _on_event(self, routing_key: str, body: bytes) -> None:
        try:
            event = decode_event(body)
        except DecodeError as error:
            log.debug("%s %s", routing_key, error)
            return
        with self._guard:
            trackers = list(self._trackers.get(event.dataset_id, ()))
            subscriptions = list(self._subscriptions)
        for tracker in trackers:
            tracker.feed(event)
        for subscription in subscriptions:
            subscription.offer(routing_key, event)

    def _on_subscribed(self) -> None:
        """Ask for everything once more: events may have been missed while nobody listened."""
        with self._guard:
            for tracker in list(self._due):
                self._due[tracker] = 0.0
        self._nudge.set()

    def _on_fatal(self, error: DatamillError) -> None:
        """Tell those who wait: nothing more will come."""
        self.broken = error
        with self._guard:
            trackers = [tracker for group in self._trackers.values() for tracker in group]
            subscriptions = list(self._subscriptions)
        for tracker in trackers:
            tracker.break_off(error)
        for subscription in subscriptions:
            subscription.close()

    # --- the asker's thread ---

    def _repeat(self) -> None:
        while not self._stopping:
            self._nudge.wait(self._pause())
            self._nudge.clear()
            for tracker in self._take_due():
                self._ask_again(tracker)
            self._forget_unused()
            self._bind_again()
            if time.monotonic() - self._published_at > _IDLE_SECS:
                self._publisher.close()

    def _pause(self) -> float:
        with self._guard:
            next_due = min(self._due.values(), default=float("inf"))
        return max(0.0, min(_IDLE_SECS, next_due - time.monotonic()))

    def _take_due(self) -> list[Tracker]:
        now = time.monotonic()
        with self._guard:
            for tracker in [tracker for tracker in self._due if not tracker.wanted]:
                del self._due[tracker]
            due = [tracker for tracker, at in self._due.items() if at <= now]
            for tracker in due:
                self._due[tracker] = now + self._repeat_secs
        return [] if self._stopping else due

    def _ask_again(self, tracker: Tracker) -> None:
        try:
            self._listener.bind_again(_key(tracker.dataset_id), PATIENCE_SECS)
            self._publish(tracker)
        except DatamillError as error:
            log.warning("asking for %s again failed: %s", tracker.dataset_id[:12], error)
            with self._guard:
                self._due[tracker] = time.monotonic() + min(_RETRY_SECS, self._repeat_secs)

    def _publish(self, tracker: Tracker) -> None:
        request = tracker.request
        assert request is not None
        traced = tracker.trace.headers() if tracker.trace else {}
        message = (
            topology.REQUESTS_EXCHANGE,
            topology.request_key(request.dataset_name),
            request.encode(),
            tracker.message_id,
            {**self._headers, **traced} or None,
        )
        try:
            self._publisher.publish(*message)
        except Unroutable:
            # The queue is not there: no builder ran yet, or somebody deleted it.
            self._declare()
            self._publisher.publish(*message)
        self._published_at = time.monotonic()

    def _declare(self) -> None:
        """Declare what is missing; raise `Unroutable` where this user may not."""
        try:
            declare_topology(self._url, self._name)
        except BrokerRefused as error:
            raise Unroutable from error

    def _bind_again(self) -> None:
        """Make sure of all bindings now and then: those who only listen never ask again."""
        if time.monotonic() < self._bind_at:
            return
        self._bind_at = time.monotonic() + self._repeat_secs
        with self._guard:
            keys = {s.pattern for s in self._subscriptions} | {_key(i) for i in self._trackers}
        for key in keys:
            self._listener.renew(key)

    def _forget_unused(self) -> None:
        """Drop bindings of datasets that nothing in this process refers to any more."""
        with self._guard:
            unused = [name for name, trackers in self._trackers.items() if not trackers]
            for dataset_id in unused:
                del self._trackers[dataset_id]
            self._unbind_unused(_key(dataset_id) for dataset_id in unused)

    def _unbind_unused(self, keys: Iterable[str]) -> None:
        """Drop bindings, but for those that something else needs; the guard is held."""
        in_use = {s.pattern for s in self._subscriptions} | {_key(i) for i in self._trackers}
        for key in keys:
            if key not in in_use:
                self._listener.unbind(key)


def _key(dataset_id: str) -> str:
    return f"dataset.*.{dataset_id}"
