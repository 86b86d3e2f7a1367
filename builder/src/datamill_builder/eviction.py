"""Keeping the store under its budget: what was asked for longest ago goes first.

In two steps: the catalog says that the archive is gone, and then it is deleted. Asking again
builds it again, with the same bytes; a download that has begun reads its open file to the end.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import Connection, Row, case, func, select

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.catalog.states import BuildState
from datamill_builder.leftovers import drop_evicted_archive
from datamill_builder.store import Store

log = logging.getLogger(__name__)

KEPT_SECS = 3600.0
"""An archive stays for so long after it was made or asked for: who was told may be on the way."""


def make_room(
    catalog: Catalog, store: Store, budget_bytes: int | None, kept_secs: float = KEPT_SECS
) -> int:
    """Evict archives until the others fit into the budget; return how many went.

    None goes that was asked for within the last `kept_secs`.
    """
    if budget_bytes is None:
        return 0
    with catalog.read() as connection:
        candidates = _by_last_use(connection)
    held_bytes = sum(row.bytes for row in candidates)
    evicted = 0
    for row in candidates:
        if held_bytes <= budget_bytes:
            return evicted
        if not _is_idle(row, kept_secs):
            continue
        if not _evict(catalog, store, row.content_key, kept_secs):
            continue
        log.info("%s was evicted to make room: %d bytes", row.archive, row.bytes)
        held_bytes -= row.bytes
        evicted += 1
    if held_bytes > budget_bytes:
        log.warning(
            "archives hold %d bytes, %d more than the budget, and none may go yet",
            held_bytes,
            held_bytes - budget_bytes,
        )
    return evicted


def _by_last_use(
    connection: Connection, content_key: str | None = None
) -> list[Row[tuple[str, str, int, float]]]:
    """Return all archives, or the one of a build; those that nobody wanted for long are first."""
    made_at = func.coalesce(builds.c.ended_at, builds.c.created_at)
    asked_at = func.coalesce(func.max(datasets.c.asked_at), made_at)
    used_at = case((asked_at > made_at, asked_at), else_=made_at).label("used_at")
    table = builds.c
    query = (
        select(table.content_key, table.archive, table.bytes, used_at)
        .outerjoin(datasets, datasets.c.content_key == table.content_key)
        .where(table.state == BuildState.READY)
        .group_by(table.content_key, table.archive, table.bytes, table.ended_at, table.created_at)
        .order_by(used_at)
    )
    if content_key is not None:
        query = query.where(table.content_key == content_key)
    return list(connection.execute(query))


def _is_idle(row: Row[tuple[str, str, int, float]], kept_secs: float) -> bool:
    # Clocks are set back, too: what was asked for far in the future is not kept for ever.
    return bool(abs(time.time() - row.used_at) >= kept_secs)


def _evict(catalog: Catalog, store: Store, content_key: str, kept_secs: float) -> bool:
    with catalog.write() as change:
        # Somebody may have asked since the candidates were read, and was told to fetch it.
        lifecycle.hold_build(change, content_key)
        lifecycle.hold_aliases(change, content_key)
        rows = _by_last_use(change.connection, content_key)
        if not any(_is_idle(row, kept_secs) for row in rows):
            return False
        lifecycle.evicted(change, content_key)
    drop_evicted_archive(catalog, store, content_key)
    return True
