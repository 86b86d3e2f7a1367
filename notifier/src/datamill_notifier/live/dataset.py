"""What the page of one dataset shows, as of one moment."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from datamill.archive import Manifest, read_manifest
from datamill.errors import ArchiveError
from datamill.events import Failed
from datamill_builder.catalog import differences, lifecycle, usage, views
from datamill_builder.catalog.differences import Side
from datamill_builder.catalog.options import Option, options
from datamill_builder.catalog.sides import find_side, sides_of_name
from datamill_builder.catalog.usage import Usage
from datamill_builder.catalog.views import DatasetView, PublicState
from datamill_builder.catalog.work import shards_of_note
from datamill_notifier import activity, dataset_states
from datamill_notifier.activity import Crew, Queued, Running
from datamill_notifier.live import compare, shard_grid
from datamill_notifier.live.sample import SampledFeature
from datamill_notifier.live.shard_grid import Cell, ShardState
from datamill_notifier.live.timeline import Timeline, step_secs, timeline
from datamill_notifier.live.written import names
from datamill_notifier.service import Service
from datamill_notifier.snippet import snippet

_OTHERS = 30
"""How many of the same name are looked at: for defaults, and to compare with."""
_SHOWN_OTHERS = 12


@dataclass(frozen=True)
class Split:
    """One split of a build; `records` as far as its shards are done."""

    name: str
    records: int
    bytes: int
    shards: int
    planned: int | None
    """How many records the plan says."""


@dataclass(frozen=True)
class Other:
    """Another dataset of the same name, and what differs, in a line."""

    dataset_id: str
    handler_version: str
    difference: str


@dataclass(frozen=True)
class DatasetPage:
    """The page of one dataset."""

    now: float
    view: DatasetView
    recipe: dict[str, Any]
    """What its build is made from; empty where that is not known yet."""
    options: list[Option]
    failed: Failed | None
    ended_at: float | None
    running: Running | None
    """Where it is being built."""
    queued: Queued | None
    """Where it waits."""
    clients: str
    cells: list[Cell]
    shard_counts: Counter[ShardState]
    splits: list[Split]
    usage: Usage
    manifest: Manifest | None
    samples: list[SampledFeature]
    requests: Timeline
    downloads: Timeline
    others: list[Other]
    code: str


def look(service: Service, dataset_id: str) -> DatasetPage | None:
    """Return the page of a dataset; None where nobody has asked for it. Blocks."""
    now = time.time()
    with service.catalog.read() as connection:
        view = views.dataset_view(connection, dataset_id)
        if view is None:
            return None
        view = dataset_states.as_stored(service, view)
        key = str(view.dataset.content_key) if view.build is not None else None
        side = find_side(connection, dataset_id)
        alike = sides_of_name(connection, view.dataset.dataset_name, _OTHERS)
        shards = lifecycle.find_shards(connection, key) if key else []
        work = shards_of_note(connection, key) if key else {}
        who = activity.crew(connection, now)
        running, queued = _under_way(service, connection, view, who)
        requests, downloads = _over_time(connection, view, now)
        used = usage.usage_of(connection, [key]).get(key, Usage()) if key else Usage()
        clients = views.waiting_clients(connection, view.dataset)
    assert side is not None
    recipe = dict(side.recipe or {})
    defaults = compare.defaults_of(alike, side.handler_version)
    return DatasetPage(
        now=now,
        view=view,
        recipe=recipe,
        options=options(side.config, recipe.get("config"), defaults),
        failed=view.failed(),
        ended_at=view.ended_at,
        running=running,
        queued=queued,
        clients=names(clients, view.dataset.waiting),
        cells=shard_grid.cells(shards, work, who.labels),
        shard_counts=Counter(shard_grid.shard_states(shards, work)),
        splits=_splits(view.build, shards),
        usage=used,
        manifest=_manifest(service, view),
        samples=_samples(service, view, shards),
        requests=requests,
        downloads=downloads,
        others=_others(side, alike, defaults),
        code=snippet(side),
    )


def _under_way(
    service: Service, connection: Connection, view: DatasetView, who: Crew
) -> tuple[Running | None, Queued | None]:
    match view.state:
        case PublicState.BUILDING:
            (running,) = activity.running(connection, [view], who, service.live.progress)
            return running, None
        case PublicState.QUEUED:
            (queued,) = activity.queued(connection, [view], who)
            return None, queued
    return None, None


def _over_time(connection: Connection, view: DatasetView, now: float) -> tuple[Timeline, Timeline]:
    since = float(view.dataset.created_at)
    secs = step_secs(since, now)
    asked = usage.requests_over_time(connection, view.dataset_id, secs)
    key = view.dataset.content_key
    fetched = usage.downloads_over_time(connection, key, secs) if key else []
    return timeline(asked, secs, since, now), timeline(fetched, secs, since, now)


def _splits(build: Row[Any] | None, shards: Sequence[Row[Any]]) -> list[Split]:
    said = json.loads(build.features) if build is not None and build.features else {}
    planned = said.get("splits") or {}
    by_name: dict[str, list[Row[Any]]] = {}
    for row in shards:
        by_name.setdefault(row.split, []).append(row)
    return [
        Split(
            name=name,
            records=sum(row.records or 0 for row in rows if row.sha256),
            bytes=sum(row.bytes or 0 for row in rows if row.sha256),
            shards=len(rows),
            planned=planned.get(name),
        )
        for name, rows in by_name.items()
    ]


def _manifest(service: Service, view: DatasetView) -> Manifest | None:
    if view.state is not PublicState.READY or view.build is None:
        return None
    try:
        return read_manifest(service.store.archive_path(view.build.archive))
    except (ArchiveError, OSError):
        return None  # evicted just now, or damaged: whoever fetches it is told


def _samples(
    service: Service, view: DatasetView, shards: Sequence[Row[Any]]
) -> list[SampledFeature]:
    if view.state is not PublicState.READY or view.build is None:
        return []
    archive = service.store.archive_path(view.build.archive)
    return service.live.samples.of(archive, view.build, shards)


def _others(mine: Side, alike: Sequence[Side], defaults: Mapping[str, Any]) -> list[Other]:
    others = [each for each in alike if each.dataset_id != mine.dataset_id]
    return [
        Other(str(each.dataset_id), each.handler_version, _difference(mine, each, defaults))
        for each in others[:_SHOWN_OTHERS]
    ]


def _difference(mine: Side, other: Side, defaults: Mapping[str, Any]) -> str:
    found = differences.compare(mine, other, defaults)
    return compare.in_short(found.differences) or found.text
