"""Making what is in a catalog older than it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, true, update

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds, datasets, downloads


def unused_for(catalog: Catalog, content_key: str, secs: float) -> None:
    """Have a build made, told of, asked for, fetched and read so many seconds earlier.

    Downloads that are under way began when they did.
    """
    meaning = func.coalesce(datasets.c.content_key, datasets.c.meant)
    earlier: tuple[tuple[Any, tuple[str, ...], Any, Any], ...] = (
        (builds, ("created_at", "ended_at", "told_at", "read_at"), builds.c.content_key, true()),
        (datasets, ("asked_at",), meaning, true()),
        (
            downloads,
            ("started_at", "ended_at"),
            downloads.c.content_key,
            downloads.c.ended_at.is_not(None),
        ),
    )
    with catalog.write() as change:
        for table, names, key, which in earlier:
            shifted = {name: table.c[name] - secs for name in names}
            change.connection.execute(
                update(table).where(key == content_key, which).values(shifted)
            )


def open_for(catalog: Catalog, content_key: str, secs: float) -> None:
    """Have the downloads of an archive that are under way begun so many seconds earlier."""
    under_way = (downloads.c.content_key == content_key) & downloads.c.ended_at.is_(None)
    earlier = downloads.c.started_at - secs
    with catalog.write() as change:
        change.connection.execute(update(downloads).where(under_way).values(started_at=earlier))
