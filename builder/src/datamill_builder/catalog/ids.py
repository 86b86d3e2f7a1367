"""Finding dataset ids and content keys by how they begin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Column, ColumnElement, Connection, and_, select

from datamill_builder.catalog.schema import builds, datasets

_AFTER_ALL_DIGITS = "g"


def datasets_that_begin(
    connection: Connection, prefix: str, limit: int
) -> Mapping[str, str | None]:
    """Return dataset ids that begin so, each with its content key, where that is known."""
    query = (
        select(datasets.c.dataset_id, datasets.c.content_key)
        .where(_begins(datasets.c.dataset_id, prefix))
        .order_by(datasets.c.dataset_id)
        .limit(limit)
    )
    return {row.dataset_id: row.content_key for row in connection.execute(query)}


def contents_that_begin(
    connection: Connection, prefix: str, limit: int
) -> Mapping[str, Sequence[str]]:
    """Return content keys that begin so, each with the dataset ids that stand for it now."""
    query = (
        select(builds.c.content_key)
        .where(_begins(builds.c.content_key, prefix))
        .order_by(builds.c.content_key)
        .limit(limit)
    )
    keys = list(connection.scalars(query))
    names = (
        select(datasets.c.content_key, datasets.c.dataset_id)
        .where(datasets.c.content_key.in_(keys))
        .order_by(datasets.c.created_at, datasets.c.dataset_id)
        .limit(limit)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for key, dataset_id in connection.execute(names) if keys else ():
        found[key].append(dataset_id)
    return {key: found[key] for key in keys}


def _begins(column: Column[str], prefix: str) -> ColumnElement[bool]:
    """Return whether hexadecimal digits begin so; as a range, which an index finds."""
    return and_(column >= prefix, column < prefix + _AFTER_ALL_DIGITS)
