"""Use of datasets, and what sharing saved.

Counted over content: whatever dataset ids mean a build now, their requests are its requests.

- *Delivered* is a build that has, or had, an archive. Its *answered* requests are all that were
  accepted for it, less those that wait just now.
- *Builds* are how often it was begun: a try that failed and a rebuild after an eviction count too,
  so that the saving is never overstated.
- *Building it takes* the seconds of its shards' workers, added up, as they were the last time;
  environments, plans and packing are not known, and not in it.
- *Saved seconds*: what building it takes, times (answered - builds), not below 0.
- *Saved bytes*: answered requests times the archive's bytes, less what went out of archives by
  downloads, not below 0: what caches of clients had already. None of an archive that nobody has
  downloaded: no cache has it. Shards that were fetched one by one are not in the log of downloads,
  so that a training which read those counts as one that had all.

What is saved in all is the sum of what was saved by each build.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    cast,
    func,
    select,
)

from datamill_builder.catalog.schema import builds, datasets, downloads, requests, shards

_AT_A_TIME = 500
"""Databases limit how many values one statement may name."""


@dataclass(frozen=True)
class Saving:
    """What was asked for, what it took, what was saved; the module says how it is counted."""

    requests: int = 0
    builds: int = 0
    build_secs: float = 0.0
    """What building it takes, once."""
    saved_secs: float = 0.0
    sent_bytes: int = 0
    saved_bytes: int = 0


@dataclass(frozen=True)
class Usage:
    """How one build is used.

    `last_used_at`: asked for, downloaded or read shard by shard, seconds since the epoch.
    """

    saving: Saving = Saving()
    downloads: int = 0
    last_used_at: float | None = None


@dataclass(frozen=True)
class Counted:
    """How many there were from `start` on, seconds since the epoch, until the next one."""

    start: int
    count: int


def savings(connection: Connection) -> Saving:
    """Return what was saved in all; `requests` are all that were ever accepted."""
    found = [_saving(row) for row in connection.execute(_of_builds())]
    return Saving(
        requests=connection.scalar(select(func.count()).select_from(requests)) or 0,
        builds=sum(each.builds for each in found),
        build_secs=sum(each.build_secs for each in found),
        saved_secs=sum(each.saved_secs for each in found),
        sent_bytes=sum(each.sent_bytes for each in found),
        saved_bytes=sum(each.saved_bytes for each in found),
    )


def usage_of(connection: Connection, content_keys: Iterable[str]) -> dict[str, Usage]:
    """Return how builds are used, by content key."""
    named = sorted(set(content_keys))
    found: dict[str, Usage] = {}
    for begin in range(0, len(named), _AT_A_TIME):
        some = named[begin : begin + _AT_A_TIME]
        rows = connection.execute(_of_builds().where(builds.c.content_key.in_(some)))
        found |= {row.content_key: _usage(row) for row in rows}
    return found


def requests_over_time(
    connection: Connection, dataset_id: str, step_secs: int, since: float = 0.0
) -> list[Counted]:
    """Return when a dataset was asked for, in steps from the epoch on; none without any."""
    which = requests.c.dataset_id == dataset_id
    return _over_time(connection, requests, requests.c.accepted_at, which, step_secs, since)


def downloads_over_time(
    connection: Connection, content_key: str, step_secs: int, since: float = 0.0
) -> list[Counted]:
    """Return when an archive was downloaded, in the same way."""
    which = downloads.c.content_key == content_key
    return _over_time(connection, downloads, downloads.c.started_at, which, step_secs, since)


def _over_time(
    connection: Connection,
    table: Table,
    at: Column[float],
    which: ColumnElement[bool],
    step_secs: int,
    since: float,
) -> list[Counted]:
    # To whole seconds first: only of integers do all databases cut off what is behind the point.
    step = cast(at, BigInteger) // step_secs
    query = (
        select(step.label("step"), func.count().label("count"))
        .select_from(table)
        .where(which, at >= since)
        .group_by(step)
        .order_by(step)
    )
    return [Counted(int(row[0]) * step_secs, row[1]) for row in connection.execute(query)]


def _of_builds() -> Select[Any]:
    """Return the query of what `_saving` needs: a row per build, each number by an index."""
    its_ids = datasets.c.content_key == builds.c.content_key
    its_shards = shards.c.content_key == builds.c.content_key
    its_downloads = downloads.c.content_key == builds.c.content_key
    asked = requests.join(datasets, datasets.c.dataset_id == requests.c.dataset_id)
    columns: Iterable[tuple[str, Select[Any]]] = (
        ("requests", select(func.count()).select_from(asked).where(its_ids)),
        ("waiting", select(func.sum(datasets.c.waiting)).where(its_ids)),
        ("asked_at", select(func.max(datasets.c.asked_at)).where(its_ids)),
        ("build_secs", select(func.sum(shards.c.secs)).where(its_shards)),
        ("downloads", select(func.count()).select_from(downloads).where(its_downloads)),
        ("sent_bytes", select(func.sum(downloads.c.bytes)).where(its_downloads)),
        ("fetched_at", select(func.max(downloads.c.started_at)).where(its_downloads)),
    )
    return select(
        builds.c.content_key,
        builds.c.archive,
        builds.c.bytes,
        builds.c.epoch,
        builds.c.read_at,
        *(query.correlate(builds).scalar_subquery().label(name) for name, query in columns),
    )


def _usage(row: Row[Any]) -> Usage:
    used_at = (at for at in (row.asked_at, row.fetched_at, row.read_at) if at is not None)
    return Usage(_saving(row), row.downloads, max(used_at, default=None))


def _saving(row: Row[Any]) -> Saving:
    build_secs = float(row.build_secs or 0.0)
    sent_bytes = int(row.sent_bytes or 0)  # PostgreSQL sums big integers to a decimal
    answered = max(0, row.requests - int(row.waiting or 0)) if row.archive else 0
    return Saving(
        requests=row.requests,
        builds=row.epoch,
        build_secs=build_secs,
        saved_secs=build_secs * max(0, answered - row.epoch),
        sent_bytes=sent_bytes,
        saved_bytes=max(0, answered * (row.bytes or 0) - sent_bytes) if row.downloads else 0,
    )
