"""Keeping the store under its budget: what was asked for longest ago goes first.

In two steps: the catalog says that the archive is gone, and then it is deleted. Asking again
builds it again, with the same bytes; a download that has begun reads its open file to the end.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import Connection, Row, func, select

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.catalog.states import BuildState
from datamill_builder.store import Store

log = logging.getLogger(__name__)

KEPT_SECS = 3600.0
"""An archive stays for so long after it was last asked for: who was told may be on the way."""


def make_room(catalog: Catalog, store: Store, budget_bytes: int | None) -> int:
    """Evict archives until the others fit into the budget; return how many went."""
    if budget_bytes is None:
        return 0
    with catalog.read() as connection:
        candidates = _by_last_use(connection)
    held_bytes = sum(row.bytes for row in candidates)
    evicted = 0
    for row in candidates:
        if held_bytes <= budget_bytes:
            return evicted
        # Clocks are set back too: what was asked for far in the future is not kept for ever.
        if abs(time.time() - row.asked_at) < KEPT_SECS:
            continue
        if not _evict(catalog, store, row.content_key):
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


def _by_last_use(connection: Connection) -> list[Row[tuple[str, str, int, float]]]:
    asked_at = func.coalesce(func.max(datasets.c.asked_at), builds.c.created_at).label("asked_at")
    query = (
        select(builds.c.content_key, builds.c.archive, builds.c.bytes, asked_at)
        .outerjoin(datasets, datasets.c.content_key == builds.c.content_key)
        .where(builds.c.state == BuildState.READY)
        .group_by(builds.c.content_key, builds.c.archive, builds.c.bytes, builds.c.created_at)
        .order_by(asked_at)
    )
    return list(connection.execute(query))


def _evict(catalog: Catalog, store: Store, content_key: str) -> bool:
    with catalog.write() as change:
        build = lifecycle.find_build(change.connection, content_key)
        if build is None or build.state != BuildState.READY:
            return False
        lifecycle.evicted(change, content_key)
    store.drop_archive(build.archive)
    return True
