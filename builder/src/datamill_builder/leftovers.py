"""Files that are not needed any more, taken away only while the catalog says so.

Whoever was paused right before deleting may wake up when the same build has been begun again, and
its new files have the names of the old. So the build is held while they are taken aside, and it
is looked at once more.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import select

from datamill_builder.catalog import Catalog, CatalogUnavailable, lifecycle, tasks
from datamill_builder.catalog.schema import builds
from datamill_builder.catalog.states import BuildState, TaskKind
from datamill_builder.store import Store

log = logging.getLogger(__name__)


def drop_packed_shards(catalog: Catalog, store: Store, content_key: str) -> None:
    """Delete the shard files of a build, if they are or were in its archive."""
    with catalog.read() as connection:
        if not _is_packed(lifecycle.find_build(connection, content_key)):
            return
    with store.scratch() as folder, catalog.write() as change:
        if _is_packed(lifecycle.hold_build(change, content_key)):
            store.take_shards(content_key, folder)


def _is_packed(build: Any) -> bool:
    return build is not None and build.state in (BuildState.READY, BuildState.EVICTED)


def drop_evicted_archive(catalog: Catalog, store: Store, content_key: str) -> None:
    """Delete the archive of a build, if it is evicted."""
    with store.scratch() as folder, catalog.write() as change:
        build = lifecycle.hold_build(change, content_key)
        if build is not None and build.state == BuildState.EVICTED:
            store.take_archive(build.archive, folder)


def drop_stray_shards(catalog: Catalog, store: Store, content_key: str) -> None:
    """Delete shard files of a build that are in nobody's hand and were never committed.

    A name holds the fence of who wrote it, and is never used again: nothing has to be held.
    """
    files = store.shard_files(content_key)  # before the look into the catalog
    with catalog.read() as connection:
        committed = {shard.file for shard in lifecycle.find_shards(connection, content_key)}
        in_hand = tasks.fences_in_hand(connection, TaskKind.SHARD, content_key)
    for file, fence in files.items():
        if file not in committed and fence not in in_hand:
            store.drop_shard(content_key, file)


def drop_leftovers(catalog: Catalog, store: Store) -> None:
    """Delete what builders left behind that were killed, or lost what they had in hand.

    As far as it goes: a builder starts on a full disk, too.
    """
    try:
        _drop_all(catalog, store)
    except (OSError, CatalogUnavailable) as error:
        log.warning("what earlier builders left behind stays for now: %s", error)


def _drop_all(catalog: Catalog, store: Store) -> None:
    for content_key in store.shard_folders():
        drop_packed_shards(catalog, store, content_key)
        drop_stray_shards(catalog, store, content_key)
    with catalog.read() as connection:
        evicted = connection.execute(
            select(builds.c.content_key, builds.c.archive).where(
                builds.c.state == BuildState.EVICTED
            )
        ).all()
    for build in evicted:
        if store.archive_mark(build.archive) is not None:
            drop_evicted_archive(catalog, store, build.content_key)
