"""What lies in the store and may be taken away, as the catalog knows it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, select

from datamill_builder.catalog.downloads import LONGEST_SECS
from datamill_builder.catalog.schema import builds, datasets, downloads, shards
from datamill_builder.catalog.states import BuildState, DatasetState

_ENDED_WITHOUT_ARCHIVE = (BuildState.FAILED, BuildState.CANCELLED)
_MAY_HOLD = (BuildState.READY, *_ENDED_WITHOUT_ARCHIVE)
# Not their recipes: those are long.
_COLUMNS = (
    builds.c.content_key,
    builds.c.dataset_name,
    builds.c.state,
    builds.c.archive,
    builds.c.bytes,
    builds.c.created_at,
    builds.c.ended_at,
    builds.c.pinned_at,
    builds.c.read_at,
    builds.c.told_at,
)


class Kind(StrEnum):
    """What is held of a build."""

    ARCHIVE = "archive"
    """Of one that is ready."""
    SHARDS = "shards"
    """Finished shards of one that failed or was cancelled, kept for the next time."""


@dataclass(frozen=True)
class Holding:
    """One thing that may be taken away, as it is now.

    `idle_secs`: for how long nobody has asked for it, made it, fetched it or a shard of it;
    `build_secs`: how long handlers worked on it, all shards together; `downloads`: how many are
    under way; `is_wanted`: whether what meant it last is asked for just now, and not resolved yet.
    """

    kind: Kind
    content_key: str
    dataset_name: str
    archive: str | None
    bytes: int
    idle_secs: float
    build_secs: float
    is_pinned: bool
    downloads: int
    is_wanted: bool = False

    @property
    def name(self) -> str:
        """What log lines call it."""
        return self.archive or f"shards of {self.content_key[:12]}"


def holdings(connection: Connection, content_key: str | None = None) -> list[Holding]:
    """Return all that may be taken away, or what there is of one build."""
    which: ColumnElement[bool] = builds.c.state.in_(_MAY_HOLD)
    if content_key is not None:
        which = which & (builds.c.content_key == content_key)
    now = time.time()
    queries = (_asked(now), _left(now), _fetched(now), _costs())
    told = [_by_key(connection, query, which) for query in queries]
    rows = connection.execute(select(*_COLUMNS).where(which).order_by(builds.c.content_key))
    found = [_holding(row, now, *(each.get(row.content_key) for each in told)) for row in rows]
    return [holding for holding in found if holding.bytes]


def held_bytes(connection: Connection) -> int:
    """Return what archives and loose shards take of the store, finished or not."""
    archives = connection.scalar(
        select(func.sum(builds.c.bytes)).where(builds.c.state == BuildState.READY)
    )
    loose = connection.scalar(select(func.sum(shards.c.bytes)).where(shards.c.file.is_not(None)))
    # PostgreSQL sums big integers to a decimal.
    return int(archives or 0) + int(loose or 0)


def ids_of(connection: Connection, content_keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the dataset ids that mean each of some builds."""
    found: dict[str, list[str]] = {key: [] for key in content_keys}
    query = select(datasets.c.content_key, datasets.c.dataset_id).where(
        datasets.c.content_key.is_not(None)
    )
    for row in connection.execute(query.order_by(datasets.c.dataset_id)):
        if row.content_key in found:
            found[row.content_key].append(row.dataset_id)
    return found


def _holding(build: Any, now: float, asked: Any, left: Any, fetched: Any, cost: Any) -> Holding:
    is_archive = build.state == BuildState.READY
    loose_bytes = int(cost.loose_bytes or 0) if cost else 0
    times = (build.ended_at or build.created_at, build.told_at, build.read_at)
    used = [abs(now - at) for at in times if at is not None]
    return Holding(
        kind=Kind.ARCHIVE if is_archive else Kind.SHARDS,
        content_key=build.content_key,
        dataset_name=build.dataset_name,
        archive=build.archive if is_archive else None,
        bytes=int(build.bytes or 0) if is_archive else loose_bytes,
        idle_secs=min(used + [each.idle_secs for each in (asked, left, fetched) if each]),
        build_secs=float(cost.shard_secs or 0) + float(cost.whole_secs or 0) if cost else 0.0,
        is_pinned=build.pinned_at is not None,
        downloads=int(fetched.under_way or 0) if fetched else 0,
        is_wanted=bool(left and left.resolving),
    )


def _asked(now: float) -> Select[Any]:
    table = datasets.c
    idle_secs = _since(table.asked_at, now)
    return select(table.content_key, idle_secs).group_by(table.content_key)


def _left(now: float) -> Select[Any]:
    """Of dataset ids that have no content key: what they had last may be what they mean."""
    table = datasets.c
    resolving = case((table.state == DatasetState.RESOLVING, 1), else_=0)
    return select(
        table.meant, _since(table.asked_at, now), func.sum(resolving).label("resolving")
    ).group_by(table.meant)


def _fetched(now: float) -> Select[Any]:
    table = downloads.c
    # A row far from now is of a notifier that is gone, or of a clock that was wrong.
    recent = table.started_at.between(now - LONGEST_SECS, now + LONGEST_SECS)
    under_way = case((table.ended_at.is_(None) & recent, 1), else_=0)
    return select(
        table.content_key,
        _since(func.coalesce(table.ended_at, table.started_at), now),
        func.sum(under_way).label("under_way"),
    ).group_by(table.content_key)


def _costs() -> Select[Any]:
    table = shards.c
    # What is made in one piece has no plan, and each of its shards says how long all of it took.
    in_one_piece = table.plan_bytes == 0
    return select(
        table.content_key,
        func.sum(case((in_one_piece, 0.0), else_=table.secs)).label("shard_secs"),
        func.max(case((in_one_piece, table.secs), else_=0.0)).label("whole_secs"),
        func.sum(case((table.file.is_not(None), table.bytes), else_=0)).label("loose_bytes"),
    ).group_by(table.content_key)


def _since(at: ColumnElement[float], now: float) -> ColumnElement[float]:
    """Return how long ago the last of some times was.

    Clocks are set back, too: a time far in the future keeps nothing for ever, and hides none that
    is right.
    """
    return func.min(func.abs(at - now)).label("idle_secs")


def _by_key(
    connection: Connection, query: Select[Any], which: ColumnElement[bool]
) -> dict[str, Row[Any]]:
    column = query.selected_columns[0]
    keys = select(builds.c.content_key).where(which)
    return {row[0]: row for row in connection.execute(query.where(column.in_(keys)))}
