"""The newest events, for those who were away for a moment; and how far builds are."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass

MOST_EVENTS = 1000
MOST_BYTES = 8 * 1024 * 1024
_MOST_BUILDS = 1000
_FRESH_SECS = 10.0
"""A build that has told nothing for so long is not at work."""

_ANSWERS = ("ready", "failed", "evicted")


@dataclass(frozen=True)
class Message:
    """An event as it came: its kind, its dataset, its JSON, and an id that repeats with it."""

    id: str
    event: str
    dataset_id: str
    body: str


class Recent:
    """Remembers the newest events in order; belongs to the event loop.

    A position is the id of an event, or the name of the moment at which remembering began.
    """

    def __init__(self) -> None:
        self._progress: OrderedDict[str, tuple[Message, float]] = OrderedDict()
        self.forget()

    def forget(self) -> None:
        """Begin anew: what comes next does not follow what came before without a gap."""
        self._begin = f"begin-{uuid.uuid4().hex}"
        self._is_whole = True
        self._events: deque[Message] = deque()
        self._bytes = 0

    @property
    def position(self) -> str:
        """The position of now."""
        return self._events[-1].id if self._events else self._begin

    def add(self, message: Message) -> None:
        """Remember an event, and forget the oldest where there are too many."""
        self._events.append(message)
        self._bytes += len(message.body)
        while len(self._events) > MOST_EVENTS or self._bytes > MOST_BYTES:
            self._bytes -= len(self._events.popleft().body)
            self._is_whole = False
            if not self._events:
                self.forget()
        self._note(message)

    def since(self, position: str) -> list[Message] | None:
        """Return the events after a position; None where that is not known (any more)."""
        events = list(self._events)
        if position == self._begin:
            return events if self._is_whole else None
        for index in range(len(events) - 1, -1, -1):
            if events[index].id == position:
                return events[index + 1 :]
        return None

    def progress(self, dataset_id: str) -> str | None:
        """Return the last `progress` of a build that tells of itself, as JSON; from any thread."""
        message, at = self._progress.get(dataset_id, (None, 0.0))
        return message.body if message and time.monotonic() - at < _FRESH_SECS else None

    def _note(self, message: Message) -> None:
        if message.event == "progress":
            self._progress[message.dataset_id] = (message, time.monotonic())
            self._progress.move_to_end(message.dataset_id)
            while len(self._progress) > _MOST_BUILDS:
                self._progress.popitem(last=False)
        elif message.event in _ANSWERS:
            self._progress.pop(message.dataset_id, None)
