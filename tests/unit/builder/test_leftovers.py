"""What is deleted late is not what somebody has just made."""

from __future__ import annotations

from pathlib import Path

from datamill_builder.catalog import lifecycle, tasks
from datamill_builder.catalog.holdings import (
    drop_evicted_archive,
    drop_leftovers,
    drop_packed_shards,
)
from datamill_builder.catalog.states import TaskKind
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


def test_shards_of_lost_owners_are_deleted_and_no_others(life: Life, store: Store) -> None:
    life.building(request(), shards=3)
    life.shard(0)
    committed = shard_file(store, "00000-1.tfrecord")
    lost = life.claim(TaskKind.SHARD, KEY, 1)
    with life.catalog.write() as change:
        tasks.hand_back(change, lost)
    life.claim(TaskKind.SHARD, KEY, 1)  # under the fence 2
    in_hand = shard_file(store, "00001-2.tfrecord")
    strays = [shard_file(store, f"{n:05d}-{fence}.tfrecord") for n, fence in [(1, 1), (2, 7)]]
    alien = shard_file(store, "notes.txt")
    drop_leftovers(life.catalog, store)
    assert not any(stray.exists() for stray in strays)
    assert committed.exists() and in_hand.exists() and alien.exists()


def test_what_a_failed_build_keeps_for_the_next_time_is_what_was_committed(
    life: Life, store: Store
) -> None:
    life.building(request(), shards=2)
    life.shard(0)
    committed, stray = (shard_file(store, f"{n:05d}-1.tfrecord") for n in (0, 1))
    with life.catalog.write() as change:
        lifecycle.cancel(change, request().dataset_id)
    drop_leftovers(life.catalog, store)
    assert committed.exists() and not stray.exists()
