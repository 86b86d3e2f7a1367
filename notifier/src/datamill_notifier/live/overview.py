"""What the main page shows, as of one moment."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from datamill.events import Failed
from datamill_builder.catalog import overview, usage, views
from datamill_builder.catalog.overview import Section, Work
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.usage import Usage
from datamill_builder.catalog.views import DatasetView, PublicState
from datamill_builder.store import free_bytes
from datamill_notifier import looking
from datamill_notifier.live import waiting, workers
from datamill_notifier.live.parts import Totals
from datamill_notifier.live.workers import Builder, Hand
from datamill_notifier.live.written import names
from datamill_notifier.service import Service

_GONE_SECS = 24 * 3600.0
"""Builders that stopped are shown for so long."""
_MOST_WORDS = 8
_BETWEEN_WORDS = re.compile(r"[\s:=,;\"{}]+")


@dataclass(frozen=True)
class Building:
    """A build under way. `share` from 0 to 1; `waits`: why nothing is done, if nothing is."""

    view: DatasetView
    share: float
    records_done: int
    records_per_sec: float | None
    secs_left: float | None
    clients: str
    hands: list[Hand]
    waits: str

    @property
    def packing(self) -> bool:
        """Whether only the archive is missing."""
        build = self.view.build
        return build is not None and build.shards == self.view.shards_done


@dataclass(frozen=True)
class Queued:
    """A dataset that waits, and for what."""

    view: DatasetView
    clients: str
    why: str


@dataclass(frozen=True)
class Finished:
    """A dataset that can be had, or could. `there`: whether its archive still is."""

    view: DatasetView
    usage: Usage
    there: bool


@dataclass(frozen=True)
class Failure:
    """A dataset that will not come, and why."""

    view: DatasetView
    failed: Failed
    ended_at: float | None


@dataclass(frozen=True)
class Disk:
    """The store in bytes. `held`: by archives and shards; `free`: None where nobody knows."""

    held: int
    budget: int | None
    free: int | None

    @property
    def share(self) -> float:
        """How much of the budget, else of the disk, is used."""
        most = self.budget if self.budget is not None else self.held + (self.free or 0)
        return self.held / most if most else 0.0


@dataclass(frozen=True)
class Overview:
    """The main page. `counts` are of what matches the filter, before lists are cut short."""

    now: float
    words: list[str]
    limit: int
    broker_connected: bool
    counts: dict[Section, int]
    building: list[Building]
    queued: list[Queued]
    finished: list[Finished]
    failed: list[Failure]
    evicted: list[Finished]
    builders: list[Builder]
    disk: Disk
    totals: Totals
    space: str | None
    """What waits for room on a disk says."""


def words_of(text: str) -> list[str]:
    """Return the words of a filter: `jpeg_quality: 95` is two."""
    return [word for word in _BETWEEN_WORDS.split(text) if word][:_MOST_WORDS]


def look(service: Service, text: str, limit: int) -> Overview:
    """Return the main page for a filter; lists have at most `limit` entries. Blocks."""
    now = time.time()
    words = words_of(text)
    totals = service.live.totals.get()
    with service.catalog.read() as connection:
        found = {
            section: overview.section_views(connection, section, words, limit)
            for section in Section
        }
        rows = overview.builders_seen(connection, now - _GONE_SECS)
        busy = overview.in_hand(connection)
        known = workers.labels(rows)
        all_builders = workers.builders(rows, busy, now)
        return Overview(
            now=now,
            words=words,
            limit=limit,
            broker_connected=service.broker_connected(),
            counts=overview.section_counts(connection, words),
            building=[
                _building(service, connection, view, busy, known) for view in found[Section.RUNNING]
            ],
            queued=_queued(connection, found[Section.QUEUED], known, _run(all_builders)),
            finished=_finished(service, connection, found[Section.FINISHED]),
            failed=[_failure(view) for view in found[Section.FAILED]],
            evicted=_finished(service, connection, found[Section.EVICTED]),
            builders=all_builders,
            disk=_disk(service, totals),
            totals=totals,
            space=views.waiting_for_space(connection),
        )


def _run(builders: Sequence[Builder]) -> bool:
    return any(not each.stopped and not each.silent for each in builders)


def _building(
    service: Service,
    connection: Connection,
    view: DatasetView,
    busy: Sequence[Work],
    known: dict[str, str],
) -> Building:
    told = service.live.progress.of(view.dataset_id)
    records = max(view.records_done, told.records_done if told else 0)
    in_work = workers.hands(busy, [str(view.dataset.content_key)], known)
    return Building(
        view=view,
        share=share_done(view, records),
        records_done=records,
        records_per_sec=told.records_per_sec if told else None,
        secs_left=told.secs_left if told else None,
        clients=_clients(connection, view),
        hands=in_work,
        waits=_waits(connection, view, bool(in_work)),
    )


def _waits(connection: Connection, view: DatasetView, in_work: bool) -> str:
    full = None
    if not in_work:
        full = views.waiting_for_space(connection, view.dataset_id, view.dataset.content_key)
    return full or waiting.stalled(view, in_work)


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


def _clients(connection: Connection, view: DatasetView) -> str:
    return names(views.waiting_clients(connection, view.dataset), view.dataset.waiting)


def _queued(
    connection: Connection,
    found: Sequence[DatasetView],
    known: dict[str, str],
    builders_run: bool,
) -> list[Queued]:
    subjects = [key for v in found for key in (v.dataset_id, v.dataset.content_key) if key]
    active = overview.active_work(connection, subjects, (TaskKind.RESOLVE, TaskKind.PLAN))
    return [
        Queued(
            view,
            _clients(connection, view),
            waiting.why(view, active, known, builders_run),
        )
        for view in found
    ]


def _finished(
    service: Service, connection: Connection, found: Sequence[DatasetView]
) -> list[Finished]:
    used = usage.usage_of(connection, [str(view.dataset.content_key) for view in found])
    return [
        Finished(
            view,
            used[str(view.dataset.content_key)],
            looking.as_stored(service, view).state is PublicState.READY,
        )
        for view in found
    ]


def _failure(view: DatasetView) -> Failure:
    failed = view.failed()
    assert failed is not None
    ended_at = view.build.ended_at if view.build is not None else view.dataset.failed_at
    return Failure(view, failed, ended_at)


def _disk(service: Service, totals: Totals) -> Disk:
    try:
        free = free_bytes(service.store.root)
    except OSError:
        free = None
    return Disk(totals.store_bytes, service.live.store_budget_bytes, free)


def given_options(view: DatasetView) -> dict[str, Any]:
    """Return the options that the request for a dataset said."""
    return dict(json.loads(view.dataset.config))
