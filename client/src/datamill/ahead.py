"""How far a build is, and how far ahead of the training that reads it."""

from __future__ import annotations

from dataclasses import dataclass

from datamill.tracker import Tracker


@dataclass(frozen=True)
class BuildProgress:
    """A moment of a build that is read while it runs."""

    shards: int | None
    """How many there will be; None until that is planned."""
    shards_done: int
    """How many are built."""
    shards_ahead: int
    """How many of them the iteration that began last has not come to yet. 0: it waits."""
    records_per_sec: float | None
    """How fast the build is; None where that is not known."""
    secs_left: float | None
    """How long the build will take yet; None where that is not known."""


def build_progress(tracker: Tracker, shards_read: int) -> BuildProgress:
    """Return how far a build is; `shards_read`: how many of its shards were read."""
    planned, told, ready = tracker.planned, tracker.progress, tracker.ready
    known = set(tracker.shards)
    if ready is not None:
        return BuildProgress(
            ready.shards, ready.shards, max(0, ready.shards - shards_read), None, 0.0
        )
    return BuildProgress(
        planned.shards if planned else None,
        max(len(known), told.shards_done if told else 0),
        sum(index >= shards_read for index in known),
        told.records_per_sec if told else None,
        told.secs_left if told else None,
    )
