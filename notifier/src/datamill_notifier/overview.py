"""`/overview`: what is built, what waits and why, what came of it, who works, as a document."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable

from sqlalchemy import Connection

from datamill_builder.catalog import usage, views
from datamill_builder.catalog.sections import Section, section_views
from datamill_builder.catalog.usage import Usage
from datamill_builder.catalog.views import DatasetView, PublicState
from datamill_notifier import activity, disk, documents
from datamill_notifier.activity import Running
from datamill_notifier.dataset_states import as_stored
from datamill_notifier.documents import Document, written_time
from datamill_notifier.service import Service
from datamill_notifier.workers import Builder

_ENDED_SHOWN = 10
_MOST_LISTED = 200


def overview(service: Service) -> Document:
    """Return all of it, as of one moment; totals may be some seconds old. Blocks."""
    now = time.time()
    totals = service.live.totals.get()
    with service.catalog.read() as connection:
        who = activity.crew(connection, now)
        started = _views(connection, Section.RUNNING)
        running = activity.running(connection, started, who, service.live.progress)
        queued = activity.queued(connection, _views(connection, Section.QUEUED), who)
        ready = _latest(_views(connection, Section.FINISHED))
        failed = _latest(
            view for view in _views(connection, Section.FAILED) if view.state is PublicState.FAILED
        )
        keys = [str(view.dataset.content_key) for view in ready]
        used = usage.usage_of(connection, keys)
        datasets_ready = views.builds_ready(connection)
    return {
        "time": written_time(now),
        "broker_connected": service.broker_connected(),
        "trouble": disk.trouble(service),
        "building": [_running(each) for each in running],
        "queued": [_under_way(each.view, each.why) for each in queued],
        "ready": [_ready(service, view, used) for view in ready],
        "failed": [_failed(view) for view in failed],
        "builders": [_builder(each) for each in who.builders if each.host and not each.stopped],
        "requests": totals.saving.requests,
        "datasets_ready": datasets_ready,
        "downloads_in_progress": service.transfers.under_way,
        "store": {
            "bytes": totals.store_bytes,
            "budget_bytes": service.store_budget_bytes,
            "free_bytes": shutil.disk_usage(service.store.root).free,
        },
    }


def _views(connection: Connection, section: Section) -> list[DatasetView]:
    return section_views(connection, section, limit=_MOST_LISTED)


def _latest(ended: Iterable[DatasetView]) -> list[DatasetView]:
    return sorted(ended, key=lambda view: view.ended_at or 0.0, reverse=True)[:_ENDED_SHOWN]


def _running(of: Running) -> Document:
    return _under_way(of.view, of.why) | {
        "records_done": of.records_done,
        "shards_in_hand": of.shards_in_hand,
        "records_per_sec": _rounded(of.records_per_sec, 2),
        "secs_left": _rounded(of.secs_left, 1),
    }


def _under_way(view: DatasetView, why: str | None) -> Document:
    build = view.build
    return documents.summary(view) | {
        "why": why,
        "shards_in_hand": 0,
        "records_estimate": build.records_estimate if build else None,
        "records_per_sec": None,
        "secs_left": None,
        "started_at": written_time(build.started_at if build else None),
    }


def _ready(service: Service, view: DatasetView, used: dict[str, Usage]) -> Document:
    use = documents.use(view, used[str(view.dataset.content_key)])
    return documents.summary(as_stored(service, view)) | use


def _failed(view: DatasetView) -> Document:
    failed = view.failed()
    assert failed is not None
    return documents.summary(view) | {"reason": failed.reason, "message": failed.message}


def _builder(of: Builder) -> Document:
    return {
        "name": of.name,
        "host": of.host,
        "workers": of.workers,
        "version": of.version,
        "started_at": written_time(of.started_at),
        "seen_at": written_time(of.seen_at),
        "alive": not of.silent,
    }


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
