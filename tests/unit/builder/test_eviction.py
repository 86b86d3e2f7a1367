"""The store stays under its budget, and what may still be fetched stays."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from datamill_builder import eviction
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.outbox import unsent
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.catalog.states import BuildState, DatasetState
from datamill_builder.eviction import KEPT_SECS, make_room
from datamill_builder.store import Store

HOUR_SECS = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def archive(catalog: Catalog, store: Store, name: str, size: int, asked_hours_ago: float) -> Path:
    """Put an archive into catalog and store; its key and id are made from its name."""
    key = name * 64
    asked_at = time.time() - asked_hours_ago * HOUR_SECS
    build = {
        "content_key": key,
        "dataset_name": "toy",
        "state": BuildState.READY,
        "epoch": 1,
        "recipe": "{}",
        "archive": f"toy_1.0.0_{key}.zip",
        "bytes": size,
        "created_at": 0.0,
    }
    dataset = {
        "dataset_id": key,
        "dataset_name": "toy",
        "handler_version": "1.0.0",
        "config": "{}",
        "state": DatasetState.RESOLVED,
        "content_key": key,
        "waiting": 0,
        "created_at": 0.0,
        "asked_at": asked_at,
    }
    with catalog.write() as change:
        change.connection.execute(builds.insert(), build)
        change.connection.execute(datasets.insert(), dataset)
    path = store.archive_path(str(build["archive"]))
    path.write_bytes(b"x" * size)
    return path


def state(catalog: Catalog, name: str) -> str:
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, name * 64)
    assert build is not None
    return str(build.state)


def test_what_was_asked_for_longest_ago_goes_first(catalog: Catalog, store: Store) -> None:
    old = archive(catalog, store, "a", 100, asked_hours_ago=30)
    older = archive(catalog, store, "b", 100, asked_hours_ago=50)
    new = archive(catalog, store, "c", 100, asked_hours_ago=2)
    assert make_room(catalog, store, 250) == 1
    assert (old.exists(), older.exists(), new.exists()) == (True, False, True)
    assert state(catalog, "b") == BuildState.EVICTED
    with catalog.read() as connection:
        told = [message.routing_key for message in unsent(connection)]
    assert told == [f"dataset.evicted.{'b' * 64}"]


def test_nothing_goes_within_the_budget_or_without_one(catalog: Catalog, store: Store) -> None:
    kept = archive(catalog, store, "a", 100, asked_hours_ago=30)
    assert make_room(catalog, store, 100) == 0
    assert make_room(catalog, store, None) == 0
    assert kept.exists()


def test_what_somebody_was_just_told_of_stays(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=0.9 * KEPT_SECS / HOUR_SECS)
    assert make_room(catalog, store, 0) == 0
    assert path.exists()
    assert state(catalog, "a") == BuildState.READY


def test_an_open_archive_can_be_read_to_its_end(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 1000, asked_hours_ago=2)
    with path.open("rb") as download:
        assert make_room(catalog, store, 0) == 1
        assert len(download.read()) == 1000


def test_what_is_being_built_stays(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=30)
    with catalog.write() as change:
        change.connection.execute(update(builds).values(state=BuildState.BUILDING))
    assert make_room(catalog, store, 0) == 0
    assert path.exists()


def test_what_took_longer_to_build_than_archives_are_kept_stays(
    catalog: Catalog, store: Store
) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=12)
    with catalog.write() as change:
        change.connection.execute(update(builds).values(ended_at=time.time()))
    assert make_room(catalog, store, 0) == 0
    assert path.exists()


def test_what_is_asked_for_while_room_is_made_stays(
    catalog: Catalog, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = archive(catalog, store, "a", 100, asked_hours_ago=50)
    second = archive(catalog, store, "b", 100, asked_hours_ago=30)
    drop = eviction.drop_evicted_archive

    def asked_meanwhile(*given: Any) -> None:
        with catalog.write() as change:
            build = lifecycle.find_build(change.connection, "b" * 64)
            assert build is not None
            change.connection.execute(update(builds).values(sha256="e" * 64, records=1, shards=1))
            whole = lifecycle.find_build(change.connection, "b" * 64)
            assert whole is not None
            lifecycle.answer_ready(change, "b" * 64, whole, "http://here.test")
        drop(*given)

    monkeypatch.setattr(eviction, "drop_evicted_archive", asked_meanwhile)
    assert make_room(catalog, store, 0) == 1
    assert (first.exists(), second.exists()) == (False, True)
    assert state(catalog, "b") == BuildState.READY
