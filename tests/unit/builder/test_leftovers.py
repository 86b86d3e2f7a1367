"""What is deleted late is not what somebody has just made."""

from __future__ import annotations

from pathlib import Path

from datamill_builder.catalog import lifecycle
from datamill_builder.leftovers import drop_evicted_archive, drop_leftovers, drop_packed_shards
from datamill_builder.store import Store
from tests.unit.builder.life import ARCHIVE, KEY, Life, request


def evicted(life: Life, store: Store) -> Path:
    """Bring a build to where its archive is evicted but not yet deleted."""
    life.ready(request(), shards=1)
    archive = store.archive_path(ARCHIVE)
    archive.write_bytes(b"old")
    with life.catalog.write() as change:
        lifecycle.evicted(change, KEY)
    return archive


def begun_again(life: Life) -> None:
    with life.catalog.write() as change:
        lifecycle.forget_shards(change, KEY, [0])
        lifecycle.build_again(change, KEY)


def shard_file(store: Store, name: str) -> Path:
    path = store.shard_path(KEY, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"shard")
    return path


def test_an_evicted_archive_is_deleted(life: Life, store: Store) -> None:
    archive = evicted(life, store)
    drop_evicted_archive(life.catalog, store, KEY)
    assert not archive.exists()
    drop_evicted_archive(life.catalog, store, KEY)


def test_who_evicts_late_leaves_the_new_archive(life: Life, store: Store) -> None:
    archive = evicted(life, store)
    begun_again(life)
    life.shard(0)
    archive.write_bytes(b"new")
    life.pack()
    drop_evicted_archive(life.catalog, store, KEY)
    assert archive.read_bytes() == b"new"


def test_packed_shards_are_deleted(life: Life, store: Store) -> None:
    file = shard_file(store, "00000-1.tfrecord")
    life.ready(request(), shards=1)
    drop_packed_shards(life.catalog, store, KEY)
    assert not file.parent.exists()


def test_who_packed_and_is_late_leaves_the_new_shards(life: Life, store: Store) -> None:
    life.ready(request(), shards=1)
    begun_again(life)
    file = shard_file(store, "00000-2.tfrecord")
    drop_packed_shards(life.catalog, store, KEY)
    assert file.exists()


def test_a_builder_that_starts_deletes_what_killed_ones_left(life: Life, store: Store) -> None:
    archive = evicted(life, store)
    other = "d" * 64
    life.ready(request(n=2), key=other, shards=1)
    packed = store.shard_path(other, "00000-1.tfrecord")
    packed.parent.mkdir()
    packed.write_bytes(b"shard")
    kept = store.archive_path("kept.zip")
    kept.write_bytes(b"kept")
    drop_leftovers(life.catalog, store)
    assert (archive.exists(), packed.exists(), kept.exists()) == (False, False, True)
