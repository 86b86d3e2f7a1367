"""The newest events, for those who were away for a moment."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass

MOST_EVENTS = 1000
MOST_BYTES = 8 * 1024 * 1024


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

    def since(self, position: str) -> list[Message] | None:
        """Return the events after a position; None where that is not known (any more)."""
        events = list(self._events)
        if position == self._begin:
            return events if self._is_whole else None
        for index in range(len(events) - 1, -1, -1):
            if events[index].id == position:
                return events[index + 1 :]
        return None
