"""Files that are not needed any more, taken away only while the catalog says so.

Whoever was paused right before deleting may wake up when the same build has been begun again, and
its new files have the names of the old. So the build is held while they are taken aside, and it
is looked at once more.
"""

from __future__ import annotations

from sqlalchemy import select

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import builds
from datamill_builder.catalog.states import BuildState
from datamill_builder.store import Store


def drop_packed_shards(catalog: Catalog, store: Store, content_key: str) -> None:
    """Delete the shard files of a build, if they are in its archive."""
    with store.scratch() as folder, catalog.write() as change:
        build = lifecycle.hold_build(change, content_key)
        if build is not None and build.state == BuildState.READY:
            store.take_shards(content_key, folder)


def drop_evicted_archive(catalog: Catalog, store: Store, content_key: str) -> None:
    """Delete the archive of a build, if it is evicted."""
    with store.scratch() as folder, catalog.write() as change:
        build = lifecycle.hold_build(change, content_key)
        if build is not None and build.state == BuildState.EVICTED:
            store.take_archive(build.archive, folder)


def drop_leftovers(catalog: Catalog, store: Store) -> None:
    """Delete what builders left behind that were killed right after packing or evicting."""
    for content_key in store.shard_folders():
        drop_packed_shards(catalog, store, content_key)
    with catalog.read() as connection:
        evicted = connection.execute(
            select(builds.c.content_key, builds.c.archive).where(
                builds.c.state == BuildState.EVICTED
            )
        ).all()
    for build in evicted:
        if store.archive_mark(build.archive) is not None:
            drop_evicted_archive(catalog, store, build.content_key)
