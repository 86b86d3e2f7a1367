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
from datamill_builder.catalog import sections, usage, views
from datamill_builder.catalog.sections import Section
from datamill_builder.catalog.usage import Usage
from datamill_builder.catalog.views import DatasetView, PublicState
from datamill_builder.store import free_bytes
from datamill_notifier import activity, dataset_states
from datamill_notifier.activity import Queued, Running
from datamill_notifier.live.parts import Totals
from datamill_notifier.live.written import names
from datamill_notifier.service import Service
from datamill_notifier.workers import Builder

_MOST_WORDS = 8
_BETWEEN_WORDS = re.compile(r"[\s:=,;\"{}]+")


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
class MainPage:
    """The main page. `counts` are of what matches the filter, before lists are cut short."""

    now: float
    words: list[str]
    limit: int
    broker_connected: bool
    counts: dict[Section, int]
    building: list[Running]
    queued: list[Queued]
    clients: dict[str, str]
    """Who waits, by dataset id, as far as they said."""
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


def look(service: Service, text: str, limit: int) -> MainPage:
    """Return the main page for a filter; lists have at most `limit` entries. Blocks."""
    now = time.time()
    words = words_of(text)
    totals = service.live.totals.get()
    with service.catalog.read() as connection:
        found = {
            section: sections.section_views(connection, section, words, limit)
            for section in Section
        }
        who = activity.crew(connection, now)
        started, waiting = found[Section.RUNNING], found[Section.QUEUED]
        return MainPage(
            now=now,
            words=words,
            limit=limit,
            broker_connected=service.broker_connected(),
            counts=sections.section_counts(connection, words),
            building=activity.running(connection, started, who, service.live.progress),
            queued=activity.queued(connection, waiting, who),
            clients={
                view.dataset_id: names(
                    views.waiting_clients(connection, view.dataset), view.dataset.waiting
                )
                for view in (*started, *waiting)
            },
            finished=_finished(service, connection, found[Section.FINISHED]),
            failed=[_failure(view) for view in found[Section.FAILED]],
            evicted=_finished(service, connection, found[Section.EVICTED]),
            builders=who.builders,
            disk=_disk(service, totals),
            totals=totals,
            space=views.waiting_for_space(connection),
        )


def _finished(
    service: Service, connection: Connection, found: Sequence[DatasetView]
) -> list[Finished]:
    used = usage.usage_of(connection, [str(view.dataset.content_key) for view in found])
    return [
        Finished(
            view,
            used[str(view.dataset.content_key)],
            dataset_states.as_stored(service, view).state is PublicState.READY,
        )
        for view in found
    ]


def _failure(view: DatasetView) -> Failure:
    failed = view.failed()
    assert failed is not None
    return Failure(view, failed, view.ended_at)


def _disk(service: Service, totals: Totals) -> Disk:
    try:
        free = free_bytes(service.store.root)
    except OSError:
        free = None
    return Disk(totals.store_bytes, service.live.store_budget_bytes, free)


def given_options(view: DatasetView) -> dict[str, Any]:
    """Return the options that the request for a dataset said."""
    return dict(json.loads(view.dataset.config))
