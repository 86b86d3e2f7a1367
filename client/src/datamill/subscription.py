"""Events as an iterator."""

from __future__ import annotations

import logging
import queue
import re
from collections.abc import Callable, Iterator

from datamill.errors import InvalidRequest
from datamill.events import Event

log = logging.getLogger(__name__)

BACKLOG = 10_000
"""How many events wait for a slow reader; then the oldest are dropped."""

_PATTERN = re.compile(r"dataset\.(\*|[a-z]+)\.(\*|[0-9a-f]{64})|dataset\.#")


class Subscription(Iterator[Event]):
    """The events of a routing key pattern, from now on. Close it, or use it in a `with`."""

    def __init__(self, pattern: str, on_close: Callable[[Subscription], None]) -> None:
        self.pattern = checked(pattern)
        self._on_close = on_close
        self._events: queue.Queue[Event | None] = queue.Queue(BACKLOG)
        self._closed = False
        self._matches = _compiled(pattern)

    @property
    def dataset_ids(self) -> frozenset[str] | None:
        """The datasets that it is about; None: all."""
        dataset_id = self.pattern.rsplit(".", 1)[1]
        return None if dataset_id in ("*", "#") else frozenset((dataset_id,))

    @property
    def closed(self) -> bool:
        """Whether no more events are taken."""
        return self._closed

    def offer(self, routing_key: str, event: Event) -> None:
        """Take an event if it matches; called by the thread that receives events."""
        if self._closed or not self._matches(routing_key):
            return
        while True:
            try:
                self._events.put_nowait(event)
                return
            except queue.Full:
                log.warning("%s: the reader is too slow, the oldest event is dropped", self.pattern)
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._events.get_nowait()
        except queue.Empty:
            return  # the reader was quicker

    def __next__(self) -> Event:
        """Wait for the next event; `StopIteration` once it is closed."""
        event = None if self._closed else self._events.get()
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """End the subscription; from any thread."""
        if self._closed:
            return
        self._closed = True
        self._on_close(self)
        self._drop_oldest()
        self._events.put(None)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def checked(pattern: str) -> str:
    """Return a routing key pattern of events; raise `InvalidRequest` if it is none."""
    if not _PATTERN.fullmatch(pattern):
        raise InvalidRequest(
            f"{pattern!r} is no pattern of events: 'dataset.ready.*', 'dataset.*.<dataset id>'"
        )
    return pattern


def _compiled(pattern: str) -> Callable[[str], bool]:
    words = pattern.split(".")
    if words[-1] == "#":
        return lambda key: key.startswith("dataset.")
    return lambda key: all(
        wanted in ("*", word) for wanted, word in zip(words, key.split("."), strict=True)
    )
