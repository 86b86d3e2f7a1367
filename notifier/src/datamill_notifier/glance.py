"""The service at a glance: what is built, what waits and why, what came of it, who works."""

from __future__ import annotations

import shutil
import time
from typing import Any

from sqlalchemy import Connection, Row, select

from datamill_builder.catalog import views
from datamill_builder.catalog.reasons import Work, why, work_on
from datamill_builder.catalog.schema import builders
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.usage import Usage
from datamill_builder.catalog.views import DatasetView, PublicState
from datamill_notifier import disk, looking
from datamill_notifier.documents import Document, summary, use, written_time
from datamill_notifier.service import Service

SILENT_SECS = 60.0
"""A builder that says nothing for so long is taken for gone."""
_ENDED_SHOWN = 10
_MOST_LISTED = 200

_UNDER_WAY = (PublicState.BUILDING, PublicState.QUEUED)
_ENDED = (PublicState.READY, PublicState.FAILED)


def glance(service: Service) -> Document:
    """Return all of it, as of one moment. Blocks."""
    now = time.time()
    found = {
        state: looking.newest(service, state, None, _MOST_LISTED)
        for state in (*_UNDER_WAY, *_ENDED)
    }
    waiting = [view for state in _UNDER_WAY for view in found[state]]
    with service.catalog.read() as connection:
        working = _builders(connection, now)
        work = work_on(connection, _subjects(waiting))
        counted = views.numbers(connection)
    alive = sum(builder["alive"] for builder in working) if working else None
    used = looking.usage_of_each(service, found[PublicState.READY])
    return {
        "time": written_time(now),
        "broker_connected": service.broker_connected(),
        "trouble": disk.trouble(service),
        **{
            state.value: [_under_way(view, work, alive, now) for view in found[state]]
            for state in _UNDER_WAY
        },
        **{state.value: _latest([_ended(view, used) for view in found[state]]) for state in _ENDED},
        "builders": working,
        "requests": counted.requests,
        "datasets_ready": counted.builds.get("ready", 0),
        "downloads_in_progress": service.transfers.under_way,
        "store": {
            "bytes": counted.store_bytes,
            "budget_bytes": service.store_budget_bytes,
            "free_bytes": shutil.disk_usage(service.store.root).free,
        },
    }


def _subjects(waiting: list[DatasetView]) -> list[str]:
    keys = [view.dataset.content_key for view in waiting if view.dataset.content_key]
    return [view.dataset_id for view in waiting] + keys


def _under_way(
    view: DatasetView, work: dict[str, Work], builders_alive: int | None, now: float
) -> Document:
    key = view.dataset.content_key
    of_it = work.get(key or "") or work.get(view.dataset_id) or Work()
    per_sec, secs_left = _speed(view, now)
    return summary(view) | {
        "ahead": view.ahead,
        "why": why(of_it, view.ahead, builders=builders_alive),
        "shards_in_hand": of_it.count(TaskKind.SHARD, TaskState.LEASED),
        "records_estimate": view.build.records_estimate if view.build else None,
        "records_per_sec": per_sec,
        "secs_left": secs_left,
        "started_at": written_time(view.build.started_at if view.build else None),
    }


def _speed(view: DatasetView, now: float) -> tuple[float | None, float | None]:
    """Return records per second since the build began, and how long the rest takes at that."""
    build = view.build
    if build is None or build.started_at is None or not view.records_done:
        return None, None
    per_sec = view.records_done / max(0.1, now - build.started_at)
    if not build.records_estimate:
        return round(per_sec, 2), None
    left = max(0, build.records_estimate - view.records_done)
    return round(per_sec, 2), round(left / per_sec, 1)


def _ended(view: DatasetView, used: dict[str, Usage]) -> Document:
    failed = view.failed()
    told = {"reason": failed.reason, "message": failed.message} if failed else {}
    its_use = used.get(view.dataset_id)
    return summary(view) | told | (use(view, its_use) if its_use else {})


def _latest(ended: list[Document]) -> list[Document]:
    ended.sort(key=lambda document: document["ended_at"] or "", reverse=True)
    return ended[:_ENDED_SHOWN]


def _builders(connection: Connection, now: float) -> list[Document]:
    """Return the builders that run, and those that ended without a word, by host."""
    rows = connection.execute(
        select(builders).where(builders.c.stopped_at.is_(None)).order_by(builders.c.host)
    )
    return [_builder(row, now) for row in rows]


def _builder(row: Row[Any], now: float) -> Document:
    return {
        "name": row.name,
        "host": row.host,
        "workers": row.workers,
        "version": row.version,
        "started_at": written_time(row.started_at),
        "seen_at": written_time(row.seen_at),
        "alive": abs(now - row.seen_at) < SILENT_SECS,
    }
