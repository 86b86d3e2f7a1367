"""Looking things up in the catalog."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, or_, select

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.schema import builds, datasets, meta, shards
from datamill_builder.catalog.states import ACTIVE_BUILDS

# Written once: putting a statement together takes longer than SQLite takes to answer it.
_DATASET = select(datasets).where(datasets.c.dataset_id == bindparam("dataset_id"))
_BUILD = select(builds).where(builds.c.content_key == bindparam("content_key"))
_SHARD = select(shards).where(
    shards.c.content_key == bindparam("content_key"), shards.c.number == bindparam("number")
)
_SKIPPING_SHARDS = (
    select(shards.c.skipped)
    .where(shards.c.content_key == bindparam("content_key"), shards.c.skipped.is_not(None))
    .order_by(shards.c.number)
)
_ALIASES = (
    select(datasets.c.dataset_id)
    .where(datasets.c.content_key == bindparam("content_key"))
    .order_by(datasets.c.dataset_id)
)
_ASKED_BY: Select[Any] = (
    select(datasets.c.dataset_id, datasets.c.trace)
    .where(datasets.c.content_key == bindparam("content_key"))
    .order_by(datasets.c.trace.is_(None), datasets.c.created_at, datasets.c.dataset_id)
    .limit(1)
)
# SQLite has one writer at a time, and leaves the words for locking out.
_HELD_DATASET = _DATASET.with_for_update()
_HELD_BUILD = _BUILD.with_for_update()
_HELD_ALIASES = (
    select(datasets.c.dataset_id, datasets.c.trace)
    .where(
        or_(
            datasets.c.content_key == bindparam("content_key"),
            datasets.c.dataset_id == bindparam("beside"),
        )
    )
    .order_by(datasets.c.dataset_id)
    .with_for_update()
)


def find_dataset(connection: Connection, dataset_id: str) -> Row[Any] | None:
    """Return the row of a dataset id."""
    return connection.execute(_DATASET, {"dataset_id": dataset_id}).first()


def find_build(connection: Connection, content_key: str) -> Row[Any] | None:
    """Return the row of a build."""
    return connection.execute(_BUILD, {"content_key": content_key}).first()


def hold_dataset(change: Transaction, dataset_id: str) -> Row[Any] | None:
    """Return the row of a dataset id, which nobody else can change until this change ends."""
    return change.connection.execute(_HELD_DATASET, {"dataset_id": dataset_id}).first()


def hold_build(change: Transaction, content_key: str) -> Row[Any] | None:
    """Return the row of a build, which nobody else can change until this change ends.

    Where several builders share a database, all lock in this order, so that no two wait for each
    other: builds, their dataset ids (several in the ids' order), tasks.
    """
    return change.connection.execute(_HELD_BUILD, {"content_key": content_key}).first()


def hold_aliases(change: Transaction, content_key: str, beside: str | None = None) -> list[str]:
    """Return the dataset ids that mean a build; whoever asks for one waits for this change.

    `beside`: one that does not yet, and is held with them.

    So a request sees a build either before it ends, and is counted among those who are told, or
    after, and is answered at once.
    """
    return list(hold_traces(change, content_key, beside))


def hold_traces(
    change: Transaction, content_key: str, beside: str | None = None
) -> dict[str, str | None]:
    """Hold what `hold_aliases` does; return the trace of each dataset id."""
    which = {"content_key": content_key, "beside": beside}
    return {row.dataset_id: row.trace for row in change.connection.execute(_HELD_ALIASES, which)}


def find_shards(connection: Connection, content_key: str) -> list[Row[Any]]:
    """Return the rows of a build's shards, in order."""
    rows = connection.execute(
        select(shards).where(shards.c.content_key == content_key).order_by(shards.c.number)
    )
    return list(rows)


def skipping_shards(connection: Connection, content_key: str) -> list[Row[Any]]:
    """Return `skipped` of those shards of a build, in order, that lack source items."""
    return list(connection.execute(_SKIPPING_SHARDS, {"content_key": content_key}))


def find_shard(connection: Connection, content_key: str, number: int) -> Row[Any] | None:
    """Return the row of one shard of a build."""
    return connection.execute(_SHARD, {"content_key": content_key, "number": number}).first()


def finished(connection: Connection, content_key: str) -> tuple[int, int]:
    """Return how many shards of a build are finished, and how many records they hold."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(shards.c.records), 0)).where(
            shards.c.content_key == content_key, shards.c.sha256.is_not(None)
        )
    ).one()
    return int(row[0]), int(row[1])


def aliases(connection: Connection, content_key: str) -> list[str]:
    """Return the dataset ids that mean a build."""
    return list(connection.scalars(_ALIASES, {"content_key": content_key}))


def asked_by(connection: Connection, content_key: str) -> Row[Any] | None:
    """Return `dataset_id` and `trace` of the first who asked for what a build makes.

    Of several dataset ids one whose request belongs to a trace, if there is one.
    """
    return connection.execute(_ASKED_BY, {"content_key": content_key}).first()


def public_url(connection: Connection) -> str | None:
    """Return the notifier's address, as it last said it."""
    return connection.scalar(select(meta.c.value).where(meta.c.key == "public_url"))


def next_turn(change: Transaction) -> int:
    """Return the turn of a build that begins now: after all that have begun, by no clock."""
    return (change.connection.scalar(select(func.max(builds.c.turn))) or 0) + 1


def builds_before(connection: Connection, build: Row[Any] | None) -> int:
    """Return how many unfinished builds began before this one; all, where there is none yet."""
    query = select(func.count()).where(builds.c.state.in_(ACTIVE_BUILDS))
    if build is not None and build.turn is not None:
        query = query.where(func.coalesce(builds.c.turn, 0) < build.turn)
    elif build is not None:
        older = builds.c.created_at < build.created_at
        query = query.where(or_(builds.c.turn.is_not(None), older))
    return connection.scalar(query) or 0
