"""A session over HTTP, for those who can't reach the broker: it asks, listens, and looks too."""

from __future__ import annotations

import logging
import threading
import time
import weakref

from datamill.broker import backoff
from datamill.errors import DatamillError, InvalidRequest, ServiceUnavailable
from datamill.event_stream import EventStream
from datamill.events import Evicted, Failed, Progress, ShardDone
from datamill.following import Following
from datamill.http_state import State, fetch_state, post_request
from datamill.session import PATIENCE_SECS, REPEAT_SECS, Session
from datamill.subscription import Subscription
from datamill.tracker import Tracker

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECS = 0.1
_LONGEST_PAUSE_SECS = 5.0
_STALE_SECS = 5.0
_CLOSE_TIMEOUT_SECS = 2.0


class _Watch:
    """When to look at a dataset next, and which answer is older than our request."""

    def __init__(self) -> None:
        self.look_at = 0.0
        self.pause_secs = _FIRST_PAUSE_SECS
        self.first_posted_at: float | None = None
        self.posted_at: float | None = None
        self.requests_before: int | None = None

    def is_stale(self, state: State) -> bool:
        """Return whether the state may be the one from before our request was taken in."""
        if state.state == "ready" or self.first_posted_at is None:
            return False
        return (
            state.requests == self.requests_before
            and time.monotonic() - self.first_posted_at < _STALE_SECS
        )

    def put_off(self) -> None:
        self.look_at = time.monotonic() + self.pause_secs
        self.pause_secs = min(self.pause_secs * 1.3, _LONGEST_PAUSE_SECS)


class HttpSession(Session):
    """One thread looks at every dataset that is waited for, every 0.1 to 5 s.

    A stream or a few tell what happens meanwhile, where such streams get through.
    """

    def __init__(
        self, http_url: str, repeat_secs: float = REPEAT_SECS, client: str | None = None
    ) -> None:
        self.http_url: str = http_url
        self._client = client
        self._repeat_secs = repeat_secs
        self._guard = threading.Lock()
        self._reached = False
        """Whether a request was taken before: a service that takes none just now may restart."""
        self._subscriptions: list[Subscription] = []
        self._watches: weakref.WeakKeyDictionary[Tracker, _Watch] = weakref.WeakKeyDictionary()
        self._nudge = threading.Event()
        self._stopping = threading.Event()
        self._following = Following(http_url, self._stopping)
        self._poller = threading.Thread(target=self._poll, name="datamill client", daemon=True)
        self._poller.start()

    def ask(self, tracker: Tracker, patience_secs: float = PATIENCE_SECS) -> None:
        """Post the request; look for its answer from now on."""
        watch = _Watch()
        deadline = time.monotonic() + (patience_secs if self._reached else 0.0)
        attempt = 0
        while True:
            try:
                self._post(tracker, watch)
                break
            except ServiceUnavailable as error:
                attempt += 1
                pause_secs = backoff(attempt)
                if time.monotonic() + pause_secs > deadline or self._stopping.is_set():
                    raise
                log.info("%s; trying again", error)
                self._stopping.wait(pause_secs)
        self._reached = True
        self._add(tracker, watch)

    def watch(self, tracker: Tracker) -> None:
        """Look at a dataset from now on."""
        self._add(tracker, _Watch())

    def _add(self, tracker: Tracker, watch: _Watch) -> None:
        with self._guard:
            self._watches[tracker] = watch
        self._nudge.set()
        self._following.add(tracker)  # what a stream does not bring is seen by looking

    def _post(self, tracker: Tracker, watch: _Watch) -> None:
        assert tracker.request is not None
        if watch.first_posted_at is None:
            before = fetch_state(self.http_url, tracker.dataset_id)
            watch.requests_before = before.requests if before else None
        asked = (tracker.request, tracker.message_id, self._client, tracker.trace)
        post_request(self.http_url, *asked)
        watch.posted_at = time.monotonic()
        watch.first_posted_at = watch.first_posted_at or watch.posted_at

    def subscribe(self, pattern: str) -> Subscription:
        """Return the events of a pattern, by the notifier's event stream, from now on.

        Raises `ServiceUnavailable`.
        """
        subscription = Subscription(pattern, self._unsubscribe)
        with self._guard:
            self._subscriptions.append(subscription)
        patience_secs = PATIENCE_SECS if self._reached else 0.0
        stream = EventStream(self.http_url, subscription, self._stopping, patience_secs)
        stream.start()
        stream.begun.wait()
        if stream.error is not None:
            subscription.close()
            raise stream.error
        self._reached = True
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._guard:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """End the threads, and what is subscribed to."""
        self._stopping.set()
        self._nudge.set()
        with self._guard:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()
        self._following.close()
        self._poller.join(_CLOSE_TIMEOUT_SECS)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._nudge.wait(self._pause())
            self._nudge.clear()
            for tracker, watch in self._take_due():
                watch.put_off()
                try:
                    self._look(tracker, watch)
                except DatamillError as error:
                    log.debug("looking at %s failed: %s", tracker.dataset_id[:12], error)

    def _pause(self) -> float:
        with self._guard:
            next_look = min((w.look_at for w in self._watches.values()), default=float("inf"))
        return max(0.0, min(_LONGEST_PAUSE_SECS, next_look - time.monotonic()))

    def _take_due(self) -> list[tuple[Tracker, _Watch]]:
        now = time.monotonic()
        with self._guard:
            for tracker in [tracker for tracker in self._watches if tracker.answered]:
                del self._watches[tracker]
            return [(t, w) for t, w in self._watches.items() if w.look_at <= now]

    def _look(self, tracker: Tracker, watch: _Watch) -> None:
        state = fetch_state(self.http_url, tracker.dataset_id)
        if state is not None and not watch.is_stale(state):
            feed(tracker, state)
        if self._should_repeat(tracker, watch, state):
            self._repeat(tracker, watch)

    def _should_repeat(self, tracker: Tracker, watch: _Watch, state: State | None) -> bool:
        if not tracker.wanted or watch.posted_at is None:
            return False
        waited = time.monotonic() - watch.posted_at
        lost = state is None or state.state == "evicted"
        return waited > self._repeat_secs or (lost and waited > _STALE_SECS)

    def _repeat(self, tracker: Tracker, watch: _Watch) -> None:
        try:
            self._post(tracker, watch)
        except InvalidRequest as error:
            tracker.feed(
                Failed(
                    dataset_id=tracker.dataset_id,
                    reason="invalid_request",
                    message=str(error),
                    retryable=False,
                )
            )


def feed(tracker: Tracker, state: State) -> None:
    """Feed a tracker with what a state says that it does not know yet."""
    for event in state.events():
        if isinstance(event, ShardDone) and event.index in tracker.shards:
            continue
        if isinstance(event, Progress) and tracker.progress and _same(event, tracker.progress):
            continue
        tracker.feed(event)
    if state.state == "evicted" and state.ready is None and tracker.ready:
        tracker.feed(Evicted(dataset_id=state.dataset_id, content_key=tracker.ready.content_key))


def _same(one: Progress, other: Progress) -> bool:
    return (one.shards_done, one.records_done) == (other.shards_done, other.records_done)
