"""Feeding those who wait with events over HTTP: a stream for many, not one for each."""

from __future__ import annotations

import math
import threading
import weakref

from datamill.event_stream import EventStream
from datamill.events import Event
from datamill.tracker import Tracker

MOST_OF_STREAM = 100
"""So many datasets one stream is for: each is 73 characters of an address, and servers and proxies
take 8 KiB of it."""


class Followers:
    """Those who wait for up to 100 datasets; fed by one stream, as long as there are some."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: dict[str, weakref.WeakSet[Tracker]] = {}
        self._ended = False

    def add(self, tracker: Tracker) -> bool:
        """Feed a tracker, too; return False where there is no place, or nobody feeds any more."""
        with self._guard:
            self._drop_answered()
            full = len(self._waiting) >= MOST_OF_STREAM and tracker.dataset_id not in self._waiting
            if full or self._ended:
                return False
            self._waiting.setdefault(tracker.dataset_id, weakref.WeakSet()).add(tracker)
            return True

    @property
    def dataset_ids(self) -> frozenset[str]:
        """What they wait for."""
        with self._guard:
            return frozenset(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether nobody waits: then nobody can come any more, either."""
        with self._guard:
            self._drop_answered()
            self._ended = self._ended or not self._waiting
            return self._ended

    def offer(self, _routing_key: str, event: Event) -> None:
        """Feed those who wait for this dataset."""
        with self._guard:
            trackers = list(self._waiting.get(event.dataset_id, ()))
        for tracker in trackers:
            if not tracker.answered:
                tracker.feed(event)

    def _drop_answered(self) -> None:
        self._waiting = {
            dataset_id: trackers
            for dataset_id, trackers in self._waiting.items()
            if any(not tracker.answered for tracker in trackers)
        }


class Following:
    """As many streams as it takes, and their threads. Safe for any thread."""

    def __init__(self, http_url: str, stopping: threading.Event) -> None:
        self._http_url = http_url
        self._stopping = stopping
        self._guard = threading.Lock()
        self._streams: list[tuple[Followers, EventStream]] = []

    def add(self, tracker: Tracker) -> None:
        """Feed a tracker with what happens from now on, until it has its answer."""
        with self._guard:
            self._streams = [each for each in self._streams if each[1].is_alive()]
            for followers, stream in self._streams:
                if followers.add(tracker):
                    stream.renew()
                    return
            followers = Followers()
            followers.add(tracker)
            stream = EventStream(self._http_url, followers, self._stopping, math.inf)
            self._streams.append((followers, stream))
            stream.start()

    def close(self) -> None:
        """Let the streams end, once `stopping` is set."""
        with self._guard:
            streams = list(self._streams)
        for _followers, stream in streams:
            stream.renew()
