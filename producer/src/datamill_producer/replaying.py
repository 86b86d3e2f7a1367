"""Publishing requests again, and what becomes of them."""

from __future__ import annotations

import time
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


def await_answer(tracker: Tracker) -> None:
    """Return when a tracker has its answer."""
    tracker.wait_until(lambda: tracker.answered)


def outcome_text(tracker: Tracker) -> str:
    """Return what became of a request, for people."""
    if ready := tracker.ready:
        return "ready, it was there" if ready.cached else "ready, built"
    if failed := tracker.failed:
        return f"failed, {failed.reason}: {failed.message}"
    return "published"


def outcome(tracker: Tracker) -> dict[str, Any]:
    """Return what became of a request, as JSON can hold it."""
    if ready := tracker.ready:
        return {"outcome": "ready", "cached": ready.cached, "url": ready.url}
    if failed := tracker.failed:
        return {"outcome": "failed", "reason": failed.reason.value, "message": failed.message}
    return {"outcome": None}
