"""Files that are not needed any more, taken away only while the catalog says so.

Whoever was paused right before deleting may wake up when the same build has been begun again, and
its new files have the names of the old. So the build is held while they are taken aside, and it
is looked at once more.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from datamill_builder.catalog import lifecycle, tasks
from datamill_builder.catalog.engine import Catalog
from datamill_builder.catalog.errors import CatalogUnavailable
from datamill_builder.catalog.schema import builds
from datamill_builder.catalog.states import BuildState, TaskKind
from datamill_builder.store import Store

log = logging.getLogger(__name__)

_ARCHIVE_NAME = re.compile(r".+_(?P<key>[0-9a-f]{64})\.zip")
_HAS_ARCHIVE = (BuildState.READY, BuildState.PACKING)
"""While one is packed its archive may have just been moved to its place."""


@dataclass(frozen=True)
class Stray:
    """A file that nobody needs."""

    path: Path
    bytes: int


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


def drop_stray_archives(catalog: Catalog, store: Store) -> None:
    """Delete archives that are evicted, or were moved to their place and never published."""
    for name, content_key in _stray_archives(catalog, store):
        with store.scratch() as folder, catalog.write() as change:
            if _is_stray(lifecycle.hold_build(change, content_key), name):
                store.take_archive(name, folder)


def _stray_archives(catalog: Catalog, store: Store) -> list[tuple[str, str]]:
    """Return (name, content key) of archives of builds that have none, as the catalog says.

    One of which the catalog has never heard is not ours to delete.
    """
    names = [match for name in store.archive_names() if (match := _ARCHIVE_NAME.fullmatch(name))]
    if not names:
        return []
    table = builds.c
    with catalog.read() as connection:
        query = select(table.content_key, table.state, table.archive)
        known = {row.content_key: row for row in connection.execute(query)}
    found = [(match[0], match["key"]) for match in names]
    return [(name, key) for name, key in found if _is_stray(known.get(key), name)]


def _is_stray(build: Any, name: str) -> bool:
    if build is None:
        return False
    return build.state not in _HAS_ARCHIVE or (
        build.state == BuildState.READY and build.archive != name
    )


def drop_stray_shards(catalog: Catalog, store: Store, content_key: str) -> None:
    """Delete shard files of a build that are in nobody's hand and were never committed.

    A name holds the fence of who wrote it, and is never used again: nothing has to be held.
    """
    for file in _stray_shards(catalog, store, content_key):
        store.drop_shard(content_key, file)


def _stray_shards(catalog: Catalog, store: Store, content_key: str) -> list[str]:
    files = store.shard_files(content_key)  # before the look into the catalog
    with catalog.read() as connection:
        committed = {shard.file for shard in lifecycle.find_shards(connection, content_key)}
        in_hand = tasks.fences_in_hand(connection, TaskKind.SHARD, content_key)
    return [file for file, fence in files.items() if file not in committed and fence not in in_hand]


def strays(catalog: Catalog, store: Store) -> list[Stray]:
    """Return what `drop_leftovers`, and a sweep of the scratch folder, would delete."""
    paths = [store.archive_path(name) for name, _ in _stray_archives(catalog, store)]
    for content_key in store.shard_folders():
        with catalog.read() as connection:
            packed = _is_packed(lifecycle.find_build(connection, content_key))
        files = store.shard_files(content_key)
        gone = files if packed else _stray_shards(catalog, store, content_key)
        paths += [store.shard_path(content_key, file) for file in gone]
    for folder in store.abandoned():
        paths += [path for path in folder.rglob("*") if path.is_file()]
    return list(_measured(paths))


def _measured(paths: list[Path]) -> Iterator[Stray]:
    for path in paths:
        try:
            yield Stray(path, path.stat().st_size)
        except OSError:
            continue  # somebody was faster


def drop_leftovers(catalog: Catalog, store: Store) -> None:
    """Delete what builders left behind that were killed, or lost what they had in hand.

    As far as it goes: a builder starts on a full disk, too.
    """
    try:
        for content_key in store.shard_folders():
            drop_packed_shards(catalog, store, content_key)
            drop_stray_shards(catalog, store, content_key)
        drop_stray_archives(catalog, store)
    except (OSError, CatalogUnavailable) as error:
        log.warning("what earlier builders left behind stays for now: %s", error)
