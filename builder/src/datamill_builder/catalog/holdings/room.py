"""Taking away what the store holds: to keep it under its budget, or because somebody says so.

In two steps: the catalog says that the archive is gone, which is told, and then it is deleted.
Asking again builds it again, with the same bytes; a download that has begun reads its open file
to the end.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from datamill_builder.catalog import lifecycle
from datamill_builder.catalog.about import about_build
from datamill_builder.catalog.engine import Catalog
from datamill_builder.catalog.errors import CatalogUnavailable
from datamill_builder.catalog.holdings.choice import KEPT_SECS, Stays, in_order, protection
from datamill_builder.catalog.holdings.holding import Holding, Kind, held_bytes, holdings
from datamill_builder.catalog.holdings.leftovers import drop_evicted_archive, drop_stray_shards
from datamill_builder.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """What went; and by how many bytes the store is over its budget even so, where nothing more
    may go yet."""

    gone: list[Holding]
    over_bytes: int = 0


def make_room(
    catalog: Catalog, store: Store, budget_bytes: int | None, kept_secs: float = KEPT_SECS
) -> Room:
    """Take away what can best be spared until the rest fits into the budget.

    Never what is pinned, being fetched, asked for and not resolved yet, or was made, asked for,
    fetched or read within the last `kept_secs`; what is being built is not looked at.
    """
    if budget_bytes is None:
        return Room([])
    with catalog.read() as connection:
        left_bytes = held_bytes(connection)
        found = holdings(connection) if left_bytes > budget_bytes else []
    gone = []
    for holding in in_order(found):
        if left_bytes <= budget_bytes:
            break
        if protection(holding, kept_secs) is None:
            taken = take_away(catalog, store, holding.content_key, kept_secs)
            if isinstance(taken, Stays):
                continue
            left_bytes -= holding.bytes
            if taken is not None:  # else others make room, too, and were faster
                gone.append(taken)
    return Room(gone, max(0, left_bytes - budget_bytes))


def take_away(
    catalog: Catalog,
    store: Store,
    content_key: str,
    kept_secs: float = KEPT_SECS,
    *,
    force: bool = False,
) -> Holding | Stays | None:
    """Take away what is held of a build; return it, or why it stays, or None where it is nothing.

    `force`: though it is fetched or asked for, or was just told ready; what is pinned stays even
    so.
    """
    with about_build(catalog, content_key):
        return _take_away(catalog, store, content_key, kept_secs, force)


def _take_away(
    catalog: Catalog, store: Store, content_key: str, kept_secs: float, force: bool
) -> Holding | Stays | None:
    with catalog.write() as change:
        # Somebody may have asked since the last look, and was told to fetch it.
        lifecycle.hold_build(change, content_key)
        lifecycle.hold_aliases(change, content_key)
        held = holdings(change.connection, content_key)
        if not held:
            return None
        (holding,) = held
        why = protection(holding, kept_secs)
        if why is Stays.PINNED or (why is not None and not force):
            return why
        if holding.kind is Kind.ARCHIVE:
            lifecycle.evicted(change, content_key)
        else:
            # Whoever begins this build again makes those that have no file.
            lifecycle.forget_files(change, content_key)
    log.info("%s: taken away, %d bytes", holding.name, holding.bytes)
    try:
        if holding.kind is Kind.ARCHIVE:
            drop_evicted_archive(catalog, store, content_key)
        else:
            drop_stray_shards(catalog, store, content_key)
    except (OSError, CatalogUnavailable) as error:
        # They are gone from the catalog: builders look now and then for what is left.
        log.warning("%s: deleted later: %s", holding.name, error)
    return holding
