"""A tracker's events, one after the other."""

from __future__ import annotations

import queue
from collections.abc import Iterator

from datamill.events import Event
from datamill.tracker import Tracker


def events_until_answer(tracker: Tracker) -> Iterator[Event]:
    """Yield what is known, then what happens, up to and with the event that is the answer."""
    inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with tracker.listening(inbox.put):
        answer = tracker.ready or tracker.failed
        known = [event for event in (tracker.accepted, tracker.planned) if event is not None]
        yield from known
        if answer is not None:
            yield answer
            return
        while True:
            event = inbox.get()
            if event not in known:
                yield event
            if event.final:
                return
