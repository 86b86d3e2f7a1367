"""Handing events on to whoever listens over HTTP."""

from __future__ import annotations

import asyncio

from datamill_notifier.live.progress import LatestProgress
from datamill_notifier.recent import Message, Recent

__all__ = ["BACKLOG", "Hub", "Message", "Subscription"]

BACKLOG = 1000
"""How many events may wait for one receiver; a slower one is dropped, and may come again."""

_BETWEEN_TURNS = 100


class Subscription:
    """What one receiver has still to get."""

    def __init__(
        self, dataset_ids: frozenset[str], position: str, missed: list[Message] | None
    ) -> None:
        self.dataset_ids = dataset_ids
        """Those it listens to; none: all."""
        self.position = position
        """Where it begins to listen."""
        self.missed = missed
        """What came since it listened last; None where that is not known."""
        self.dropped = False
        """Whether it was too slow."""
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()

    def offer(self, message: Message) -> bool:
        """Give it an event; return False where too many wait already."""
        if self._queue.qsize() >= BACKLOG:
            self.dropped = True
            return False
        self._queue.put_nowait(message)
        return True

    def end(self) -> None:
        """Let the receiver see the end after what waits."""
        self._queue.put_nowait(None)

    async def next(self) -> Message | None:
        """Return the next event; None at the end."""
        return None if self.dropped else await self._queue.get()


class Hub:
    """All subscriptions; belongs to the event loop."""

    def __init__(self) -> None:
        self._of_dataset: dict[str, set[Subscription]] = {}
        self._of_all: set[Subscription] = set()
        self._closed = False
        self.progress = LatestProgress()
        self.recent = Recent()

    @property
    def receivers(self) -> int:
        """How many listen."""
        return len(self._everybody())

    def subscribe(self, dataset_ids: frozenset[str], after: str | None = None) -> Subscription:
        """Begin to listen to some datasets, or to all; `after`: the last event that was seen."""
        missed = None if after is None else self.recent.since(after)
        if missed is not None and dataset_ids:
            missed = [message for message in missed if message.dataset_id in dataset_ids]
        subscription = Subscription(dataset_ids, self.recent.position, missed)
        if self._closed:
            subscription.end()
        elif not dataset_ids:
            self._of_all.add(subscription)
        for dataset_id in dataset_ids if not self._closed else ():
            self._of_dataset.setdefault(dataset_id, set()).add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Listen no more."""
        self._of_all.discard(subscription)
        for dataset_id in subscription.dataset_ids:
            listening = self._of_dataset.get(dataset_id, set())
            listening.discard(subscription)
            if not listening:
                self._of_dataset.pop(dataset_id, None)

    async def publish(self, messages: list[Message]) -> None:
        """Give events to those who listen; between turns receivers get theirs out."""
        for number, message in enumerate(messages, start=1):
            self.progress.note(message.event, message.dataset_id, message.body)
            self.recent.add(message)
            for subscription in self._listening(message.dataset_id):
                if not subscription.offer(message):
                    self.unsubscribe(subscription)
                    subscription.end()
            if number % _BETWEEN_TURNS == 0:
                await asyncio.sleep(0)

    def close(self) -> None:
        """Let all receivers see the end."""
        self._closed = True
        for subscription in self._everybody():
            self.unsubscribe(subscription)
            subscription.end()

    def _listening(self, dataset_id: str) -> list[Subscription]:
        return [*self._of_dataset.get(dataset_id, ()), *self._of_all]

    def _everybody(self) -> set[Subscription]:
        return self._of_all.union(*self._of_dataset.values())
