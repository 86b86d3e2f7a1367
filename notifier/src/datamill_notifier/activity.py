"""What runs, what waits and why, who works: as `/overview` and the live page show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from datamill.events import Progress
from datamill_builder.catalog import builders, work
from datamill_builder.catalog.reasons import trouble, why
from datamill_builder.catalog.views import DatasetView
from datamill_builder.catalog.work import Task, Work
from datamill_notifier import workers
from datamill_notifier.live.progress import LatestProgress
from datamill_notifier.workers import Builder, Hand

_GONE_SECS = 24 * 3600.0
"""Builders that stopped are known for so long."""
_LEAST_SECS = 0.1


@dataclass(frozen=True)
class Running:
    """A build under way.

    `share`: from 0 to 1; `why`: why nothing can be seen of it, or what went wrong; `trouble`: the
    latter alone.
    """

    view: DatasetView
    share: float
    records_done: int
    records_per_sec: float | None
    secs_left: float | None
    hands: list[Hand]
    shards_in_hand: int
    why: str | None
    trouble: str | None

    @property
    def packing(self) -> bool:
        """Whether only the archive is missing."""
        build = self.view.build
        return build is not None and build.shards == self.view.shards_done


@dataclass(frozen=True)
class Queued:
    """A dataset that waits, and for what."""

    view: DatasetView
    why: str | None


@dataclass(frozen=True)
class Crew:
    """Who works, as of one moment. `busy`: all that is in somebody's hands."""

    now: float
    builders: list[Builder]
    labels: dict[str, str]
    busy: list[Task]

    @property
    def runs(self) -> bool:
        """Whether any builder is known to run: one that has told of itself."""
        return any(each.host and not (each.stopped or each.silent) for each in self.builders)


def crew(connection: Connection, now: float) -> Crew:
    """Return the builders that run or stopped not long ago, and what each has in hand."""
    rows = builders.known(connection, now - _GONE_SECS)
    busy = work.in_hand(connection)
    return Crew(now, workers.builders(rows, busy, now), builders.labels(rows), busy)


def running(
    connection: Connection, views: Sequence[DatasetView], who: Crew, progress: LatestProgress
) -> list[Running]:
    """Return how far builds are, and who is at them."""
    there = _work_on(connection, views, who)
    return [_running(view, there[view.dataset_id], who, progress) for view in views]


def queued(connection: Connection, views: Sequence[DatasetView], who: Crew) -> list[Queued]:
    """Return what datasets wait for of which no shard can be made yet."""
    there = _work_on(connection, views, who)
    return [Queued(view, _why(view, there[view.dataset_id], who)) for view in views]


def share_done(view: DatasetView, records_done: int) -> float:
    """Return how far a build is, from 0 to 1: by records where their number is known."""
    build = view.build
    if build is None or not build.shards:
        return 0.0
    by_shards = float(view.shards_done / build.shards)
    if not build.records_estimate:
        return by_shards
    # Bad source items give no records: finished shards count whatever they hold.
    return float(min(1.0, max(by_shards, records_done / build.records_estimate)))


def speed(
    view: DatasetView, told: Progress | None, is_in_hand: bool, now: float
) -> tuple[float | None, float | None]:
    """Return records per second and how long the rest takes at that, as far as is known.

    As the builder says, else as it was since the build began; of what nobody is at, nothing.
    """
    if told is not None:
        return told.records_per_sec, told.secs_left
    build = view.build
    if not is_in_hand or build is None or build.started_at is None or not view.records_done:
        return None, None
    per_sec = view.records_done / max(_LEAST_SECS, now - build.started_at)
    if not build.records_estimate:
        return per_sec, None
    return per_sec, max(0, build.records_estimate - view.records_done) / per_sec


def _work_on(connection: Connection, views: Sequence[DatasetView], who: Crew) -> dict[str, Work]:
    """Return the work on dataset ids or, where they have one, on their builds."""
    subjects = {view.dataset_id: view.dataset.content_key or view.dataset_id for view in views}
    there = work.work_on(connection, subjects.values(), who.busy)
    return {dataset_id: there.get(subject, Work()) for dataset_id, subject in subjects.items()}


def _why(view: DatasetView, there: Work, who: Crew) -> str | None:
    return why(there, who.labels, view.ahead, builders_run=who.runs)


def _running(view: DatasetView, there: Work, who: Crew, progress: LatestProgress) -> Running:
    told = progress.of(view.dataset_id)
    records = max(view.records_done, told.records_done if told else 0)
    per_sec, secs_left = speed(view, told, bool(there.in_hand), who.now)
    return Running(
        view=view,
        share=share_done(view, records),
        records_done=records,
        records_per_sec=per_sec,
        secs_left=secs_left,
        hands=workers.hands(there.in_hand, who.labels),
        shards_in_hand=there.shards_in_hand,
        why=_why(view, there, who),
        trouble=trouble(there),
    )
