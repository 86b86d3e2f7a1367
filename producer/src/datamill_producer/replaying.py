"""Publishing requests again, and what becomes of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from datamill.request import Request
from datamill.session import Session
from datamill.tracker import Tracker


def publish_again(
    session: Session, requests: Iterable[Request], per_sec: float | None = None
) -> Iterator[Tracker]:
    """Publish each request under a new message id, confirmed; yield what gets its answer.

    `per_sec` limits how many go in a second. Raises `ServiceUnavailable`.
    """
    started = time.monotonic()
    for count, request in enumerate(requests):
        if per_sec is not None:
            time.sleep(max(0.0, started + count / per_sec - time.monotonic()))
        tracker = Tracker(request.dataset_id, request)
        session.ask(tracker)
        yield tracker


def await_answer(tracker: Tracker, deadline: float | None = None) -> None:
    """Return when a tracker has its answer, or `deadline` (of the monotonic clock) is there."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    tracker.wait_until(lambda: tracker.answered, left)


class Outcomes:
    """Counts what became of requests that were published again."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, tracker: Tracker) -> None:
        """Count one, as it stands now."""
        self._counts[_word(tracker)] += 1
        if tracker.ready and tracker.ready.cached:
            self._counts[_THERE] += 1

    @property
    def failed(self) -> int:
        """How many failed."""
        return self._counts["failed"]

    @property
    def unanswered(self) -> int:
        """How many have no answer yet."""
        return self.total - self._counts["ready"] - self.failed

    @property
    def total(self) -> int:
        """How many were published."""
        return sum(self._counts[word] for word in _WORDS)

    @property
    def text(self) -> str:
        """Return `1000 published: 980 ready (970 were there), 15 failed, 5 still building`."""
        there = self._counts[_THERE]
        notes = {"ready": f" ({there} {'was' if there == 1 else 'were'} there)"} if there else {}
        said = [
            f"{self._counts[word]} {words}{notes.get(word, '')}"
            for word, words in _WORDS.items()
            if self._counts[word]
        ]
        return f"{self.total} published: {', '.join(said)}"


_WORDS = {
    "ready": "ready",
    "failed": "failed",
    "building": "still building",
    "queued": "queued",
    "asked": "without any answer yet",
}
_THERE = "there"


def outcome_text(tracker: Tracker) -> str:
    """Return what became of a request, for people."""
    if ready := tracker.ready:
        return "ready, it was there" if ready.cached else "ready, built"
    if failed := tracker.failed:
        return f"failed, {failed.reason}: {failed.message}"
    return f"published, {_WORDS[_word(tracker)]}"


def outcome(tracker: Tracker) -> dict[str, Any]:
    """Return what became of a request, as JSON can hold it."""
    if ready := tracker.ready:
        return {"outcome": "ready", "cached": ready.cached, "url": ready.url}
    if failed := tracker.failed:
        return {"outcome": "failed", "reason": failed.reason.value, "message": failed.message}
    return {"outcome": None, "state": _word(tracker)}


def _word(tracker: Tracker) -> str:
    # What is accepted as ready has its answer on the way.
    return "asked" if not tracker.answered and tracker.state == "ready" else tracker.state
