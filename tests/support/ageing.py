"""Making what is in a catalog older than it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import true, update

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds, datasets, downloads


def unused_for(catalog: Catalog, content_key: str, secs: float) -> None:
    """Have a build made, asked for, fetched and read so many seconds earlier.

    Downloads that are under way began when they did.
    """
    earlier: tuple[tuple[Any, tuple[str, ...], Any], ...] = (
        (builds, ("created_at", "ended_at", "read_at"), true()),
        (datasets, ("asked_at",), true()),
        (downloads, ("started_at", "ended_at"), downloads.c.ended_at.is_not(None)),
    )
    with catalog.write() as change:
        for table, names, which in earlier:
            mine = (table.c.content_key == content_key) & which
            shifted = {name: table.c[name] - secs for name in names}
            change.connection.execute(update(table).where(mine).values(shifted))
