"""What is known of one dataset: fed by events, waited on by threads and coroutines."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
import weakref
from collections.abc import Callable

from datamill.errors import DatamillError
from datamill.events import (
    Accepted,
    Event,
    Evicted,
    Failed,
    Planned,
    Progress,
    Ready,
    Reason,
    ShardDone,
)
from datamill.request import Request
from datamill.trace_context import TraceContext


class Tracker:
    """The state of one dataset as this process knows it.

    `feed` is called by the thread that receives events; everything else by any thread. Attributes
    hold the last event of their kind, or None.
    """

    def __init__(
        self,
        dataset_id: str,
        request: Request | None = None,
        trace: TraceContext | None = None,
    ) -> None:
        self.dataset_id = dataset_id
        self.request = request
        """What was asked for; None for the dataset of somebody else."""
        self.trace = trace
        """What the request says of the trace that it belongs to, however often it is made."""
        self.message_id = str(uuid.uuid4())
        """The same for every time that this is asked again: it is one request."""
        self.pid = os.getpid()
        """A forked child has no thread that would feed this."""
        self.wanted = request is not None
        """Whether it has to be asked again and again: until the first answer comes."""
        self.accepted: Accepted | None = None
        self.planned: Planned | None = None
        self.progress: Progress | None = None
        self.ready: Ready | None = None
        self.failed: Failed | None = None
        self.shards: dict[int, ShardDone] = {}
        self.error: DatamillError | None = None
        """Why no more events will come, if so."""
        self._changed = threading.Condition()
        self._listeners: list[Callable[[Event], None]] = []
        self._wakers: list[Callable[[], None]] = []
        if request is not None:
            _known[dataset_id] = self

    @property
    def answered(self) -> bool:
        """Whether there is an answer: `ready` or `failed`."""
        return self.ready is not None or self.failed is not None

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for: an answer, or none that could come."""
        return self.answered or self.error is not None

    @property
    def state(self) -> str:
        """`asked`, `queued`, `building`, `ready` or `failed`."""
        if self.ready:
            return "ready"
        if self.failed:
            return "failed"
        if self.planned or self.shards or self.progress:
            return "building"
        return self.accepted.state if self.accepted else "asked"

    def feed(self, event: Event) -> None:
        """Take notice of an event."""
        with self._changed:
            self._take(event)
            self._changed.notify_all()
            listeners, wakers = list(self._listeners), list(self._wakers)
        for listener in listeners:
            listener(event)
        for waker in wakers:
            waker()

    def _take(self, event: Event) -> None:
        match event:
            case Accepted():
                self.accepted = event
            case Planned():
                self.planned = event
            case Progress():
                self.progress = event
            case ShardDone():
                self.shards[event.index] = event
            case Ready():
                self.ready, self.failed, self.wanted = event, None, False
            case Failed(reason=Reason.INVALID_REQUEST) if self.ready or self.accepted:
                # Somebody else's: a request with a field too many has the id of the one without.
                return
            case Failed():
                self.ready, self.failed, self.wanted = None, event, False
            case Evicted():
                self._forget(event.content_key)

    def _forget(self, content_key: str) -> None:
        if self.ready and self.ready.content_key == content_key:
            self.ready = None
        self.planned = self.progress = None
        self.shards = {}

    def break_off(self, error: DatamillError) -> None:
        """Tell those who wait that no more events will come."""
        with self._changed:
            self.error = error
            self._changed.notify_all()
            wakers = list(self._wakers)
        for waker in wakers:
            waker()

    def ask_anew(self) -> None:
        """Forget the answer, for a new request: what was ready is no longer to be had."""
        with self._changed:
            self.wanted = self.request is not None
            self.error = None
            self.ready = self.failed = self.planned = self.progress = None
            self.shards = {}
            self.message_id = str(uuid.uuid4())

    def wait_until(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until a condition on this tracker holds; return whether it does."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    async def answer(self) -> None:
        """Wait until there is an answer, or none can come, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(arrived.set)

        with self._changed:
            self._wakers.append(wake)
        try:
            while not self.settled:
                await arrived.wait()
                arrived.clear()
        finally:
            with self._changed:
                self._wakers.remove(wake)

    def listening(self, listener: Callable[[Event], None]) -> _Listening:
        """Return a context in which a function is called, by the feeding thread, for each event."""
        return _Listening(self, listener)

    def _add(self, listener: Callable[[Event], None]) -> None:
        with self._changed:
            self._listeners.append(listener)

    def _remove(self, listener: Callable[[Event], None]) -> None:
        with self._changed:
            self._listeners.remove(listener)


_known: weakref.WeakValueDictionary[str, Tracker] = weakref.WeakValueDictionary()


def tracker_of(dataset_id: str) -> Tracker | None:
    """Return the last tracker that this process asked for a dataset with, if it is still used."""
    tracker = _known.get(dataset_id)
    return tracker if tracker is not None and tracker.pid == os.getpid() else None


class _Listening:
    def __init__(self, tracker: Tracker, listener: Callable[[Event], None]) -> None:
        self._tracker = tracker
        self._listener = listener

    def __enter__(self) -> None:
        self._tracker._add(self._listener)

    def __exit__(self, *_error: object) -> None:
        self._tracker._remove(self._listener)
