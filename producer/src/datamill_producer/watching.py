"""Following datasets: their state first, then what happens, until each has its answer."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from datamill.errors import NothingFound
from datamill.events import Accepted, Event, Evicted, Planned, Progress, ShardDone
from datamill.http_session import feed
from datamill.http_state import fetch_state
from datamill.session import REPEAT_SECS, Session
from datamill.tracker import Tracker


def follow(session: Session, dataset_ids: Iterable[str]) -> Iterator[Event]:
    """Yield the events of datasets, one of each kind where they say the same; end with the last
    answer.

    Raises `NothingFound` for one that nobody asked for, where that can be told.
    """
    inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
    trackers = {dataset_id: Tracker(dataset_id) for dataset_id in dataset_ids}
    said: dict[tuple[object, ...], object] = {}
    with ExitStack() as listening:
        for tracker in trackers.values():
            listening.enter_context(tracker.listening(inbox.put))
            session.watch(tracker)
            _look(session.http_url, tracker, inbox)
        unanswered = set(trackers)
        while unanswered:
            try:
                event = inbox.get(timeout=REPEAT_SECS)
            except queue.Empty:
                # An event may have been missed: it must not make anybody wait for ever.
                for dataset_id in unanswered:
                    _look(session.http_url, trackers[dataset_id], inbox)
                continue
            if event.dataset_id in unanswered and _is_news(event, said):
                yield event
            if event.final or isinstance(event, Evicted):
                unanswered.discard(event.dataset_id)


def _look(http_url: str | None, tracker: Tracker, inbox: queue.SimpleQueue[Event]) -> None:
    if http_url is None:
        return
    state = fetch_state(http_url, tracker.dataset_id)
    if state is None:
        raise NothingFound(f"nobody has asked for {tracker.dataset_id[:12]} yet")
    if state.state == "evicted":
        inbox.put(Evicted(dataset_id=tracker.dataset_id, content_key=""))
    feed(tracker, state)


def _is_news(event: Event, said: dict[tuple[object, ...], object]) -> bool:
    """Return whether the last event of this kind said something else."""
    kind: tuple[object, ...]
    content: tuple[object, ...]
    match event:
        case Accepted(state=state, waiting=waiting, ahead=ahead):
            kind, content = (), (state, waiting, ahead)
        case Planned(content_key=content_key):
            kind, content = (), (content_key,)
        case ShardDone(index=index, sha256=sha256):
            kind, content = (index,), (sha256,)
        case Progress(shards_done=done, records_done=records):
            kind, content = (), (done, records)
        case _:
            return True
    key = (event.dataset_id, event.event, *kind)
    if said.get(key) == content:
        return False
    said[key] = content
    return True
