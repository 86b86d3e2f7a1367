"""What the catalog knows, as JSON documents."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from datamill.events import Event
from datamill_builder.catalog.request_log import LoggedRequest
from datamill_builder.catalog.usage import Saving, Usage
from datamill_builder.catalog.views import DatasetView
from datamill_notifier.dataset_states import Closely

Document = dict[str, Any]


def written_time(secs: float | None) -> str | None:
    """Return seconds since the epoch as RFC 3339, UTC, milliseconds."""
    if secs is None:
        return None
    moment = datetime.fromtimestamp(secs, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def summary(view: DatasetView) -> Document:
    """Return a dataset in a list."""
    dataset, build = view.dataset, view.build
    return {
        "dataset_id": dataset.dataset_id,
        "dataset_name": dataset.dataset_name,
        "handler_version": dataset.handler_version,
        "dataset_config": json.loads(dataset.config),
        "state": view.state,
        "content_key": dataset.content_key,
        "archive": build.archive if build else None,
        "bytes": build.bytes if build else None,
        "records": build.records if build else None,
        "shards": build.shards if build else None,
        "shards_done": view.shards_done,
        "records_done": view.records_done,
        "waiting": dataset.waiting,
        "ahead": view.ahead,
        "requests": view.requests,
        "created_at": written_time(dataset.created_at),
        "ended_at": written_time(view.ended_at),
    }


def state(closely: Closely, public_url: str) -> Document:
    """Return everything about a dataset."""
    view = closely.view
    return summary(view) | {
        "note": closely.note,
        "waiting_clients": list(closely.waiting_clients),
        "progress": _event(closely.progress),
        "ready": _event(view.ready(public_url)),
        "failed": _event(view.failed()),
        "planned": _event(view.planned()),
        "usage": usage(closely.usage),
        "shard_list": [_shard(view, row, public_url) for row in closely.fetchable()],
    }


def usage(used: Usage) -> Document:
    """Return how a build is used, by whatever ids it is asked for."""
    return saving(used.saving) | {
        "downloads": used.downloads,
        "last_used_at": written_time(used.last_used_at),
    }


def use(view: DatasetView, used: Usage) -> Document:
    """Return how much a dataset of a list is used, and whether it is pinned."""
    return {
        "downloads": used.downloads,
        "downloaded_bytes": used.saving.sent_bytes,
        "used_at": written_time(used.last_used_at or view.dataset.asked_at),
        "pinned_at": written_time(view.build.pinned_at if view.build else None),
    }


def saving(saved: Saving) -> Document:
    """Return what sharing saved; `datamill_builder.catalog.usage` says how it is counted."""
    return asdict(saved)


def logged(request: LoggedRequest) -> Document:
    """Return an accepted request of the log."""
    return {
        "message_id": request.message_id,
        "accepted_at": written_time(request.accepted_at),
        "dataset_id": request.dataset_id,
        "dataset_name": request.dataset_name,
        "handler_version": request.handler_version,
        "dataset_config": json.loads(request.config),
        "state": request.state,
        "client": request.client,
    }


def _event(event: Event | None) -> Document | None:
    return None if event is None else event.model_dump(mode="json")


def _shard(view: DatasetView, row: Row[Any], public_url: str) -> Document:
    return {
        "index": row.number,
        "split": row.split,
        "records": row.records,
        "bytes": row.bytes,
        "sha256": row.sha256,
        "url": f"{public_url}/datasets/{view.dataset_id}/shards/{row.number}",
    }
