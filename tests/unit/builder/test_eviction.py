"""The store stays under its budget, and what may still be fetched stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from datamill_builder.catalog import Catalog, downloads, lifecycle, schema
from datamill_builder.catalog.holdings import (
    KEPT_SECS,
    Holding,
    Kind,
    Room,
    Stays,
    held_bytes,
    holdings,
    make_room,
    room,
    take_away,
)
from datamill_builder.catalog.outbox import unsent
from datamill_builder.catalog.schema import builds, datasets, shards
from datamill_builder.catalog.states import BuildState, DatasetState
from datamill_builder.store import Store
from tests.support.postgresql import PostgresqlServer, postgresql

__all__ = ["postgresql"]

HOUR_SECS = 3600.0


@pytest.fixture(scope="module")
def postgresql_catalog(postgresql: PostgresqlServer) -> Iterator[Catalog]:
    opened = Catalog(postgresql.add_database())
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    """A catalog in which nothing ever happened, in either database."""
    name = "shared_catalog" if request.param == "sqlite" else "postgresql_catalog"
    opened: Catalog = request.getfixturevalue(name)
    yield opened
    with opened.write() as change:
        for table in reversed(schema.metadata.sorted_tables):
            if table is not schema.meta:
                change.connection.execute(delete(table))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def archive(
    catalog: Catalog,
    store: Store,
    name: str,
    size: int,
    asked_hours_ago: float,
    build_secs: tuple[float, ...] = (),
    plan_bytes: int = 10,
) -> Path:
    """Put an archive into catalog and store; its key and id are made from its name.

    `build_secs`: what each of its shards took.
    """
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
        for number, secs in enumerate(build_secs):
            row = {"content_key": key, "number": number, "split": "train", "plan_offset": 0}
            row |= {"plan_bytes": plan_bytes, "secs": secs, "sha256": "a" * 64, "bytes": 10}
            change.connection.execute(shards.insert(), row)
    path = store.archive_path(str(build["archive"]))
    path.write_bytes(b"x" * size)
    return path


def gone(made: Room) -> list[str]:
    """Return the names of what went, in order."""
    return [holding.content_key[0] for holding in made.gone]


def state(catalog: Catalog, name: str) -> str:
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, name * 64)
    assert build is not None
    return str(build.state)


def test_what_was_asked_for_longest_ago_goes_first(catalog: Catalog, store: Store) -> None:
    old = archive(catalog, store, "a", 100, asked_hours_ago=30)
    older = archive(catalog, store, "b", 100, asked_hours_ago=50)
    new = archive(catalog, store, "c", 100, asked_hours_ago=2)
    assert gone(make_room(catalog, store, 250)) == ["b"]
    assert (old.exists(), older.exists(), new.exists()) == (True, False, True)
    assert state(catalog, "b") == BuildState.EVICTED
    with catalog.read() as connection:
        told = [message.routing_key for message in unsent(connection)]
    assert told == [f"dataset.evicted.{'b' * 64}"]


def test_nothing_goes_within_the_budget_or_without_one(catalog: Catalog, store: Store) -> None:
    kept = archive(catalog, store, "a", 100, asked_hours_ago=30)
    assert make_room(catalog, store, 100) == Room([])
    assert make_room(catalog, store, None) == Room([])
    assert kept.exists()


def test_what_somebody_was_just_told_of_stays(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=0.9 * KEPT_SECS / HOUR_SECS)
    assert make_room(catalog, store, 0) == Room([], over_bytes=100)
    assert path.exists()
    assert state(catalog, "a") == BuildState.READY


@pytest.mark.parametrize("pause_secs", [0.98 * KEPT_SECS, 1.02 * KEPT_SECS])
def test_what_is_read_shard_by_shard_stays_for_an_hour_after_each(
    catalog: Catalog, store: Store, pause_secs: float
) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=30)
    archive(catalog, store, "b", 100, asked_hours_ago=2)
    with catalog.write() as change:
        downloads.read(change, {"a" * 64: time.time() - pause_secs})
    assert gone(make_room(catalog, store, 0)) == (["b"] if pause_secs < KEPT_SECS else ["b", "a"])
    assert path.exists() == (pause_secs < KEPT_SECS)


def test_an_open_archive_can_be_read_to_its_end(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 1000, asked_hours_ago=2)
    with path.open("rb") as download:
        assert gone(make_room(catalog, store, 0)) == ["a"]
        assert not path.exists()
        assert len(download.read()) == 1000


def test_what_is_being_built_stays(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=30)
    with catalog.write() as change:
        change.connection.execute(update(builds).values(state=BuildState.BUILDING))
    assert make_room(catalog, store, 0).gone == []
    assert path.exists()


def test_what_took_longer_to_build_than_archives_are_kept_stays(
    catalog: Catalog, store: Store
) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=12)
    with catalog.write() as change:
        change.connection.execute(update(builds).values(ended_at=time.time()))
    assert make_room(catalog, store, 0).gone == []
    assert path.exists()


def test_what_is_asked_for_while_room_is_made_stays(
    catalog: Catalog, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = archive(catalog, store, "a", 100, asked_hours_ago=50)
    second = archive(catalog, store, "b", 100, asked_hours_ago=30)
    drop = room.drop_evicted_archive

    def asked_meanwhile(*given: Any) -> None:
        with catalog.write() as change:
            build = lifecycle.find_build(change.connection, "b" * 64)
            assert build is not None
            change.connection.execute(update(builds).values(sha256="e" * 64, records=1, shards=1))
            whole = lifecycle.find_build(change.connection, "b" * 64)
            assert whole is not None
            lifecycle.answer_ready(change, "b" * 64, whole, "http://here.test")
        drop(*given)

    monkeypatch.setattr(room, "drop_evicted_archive", asked_meanwhile)
    assert gone(make_room(catalog, store, 0)) == ["a"]
    assert (first.exists(), second.exists()) == (False, True)
    assert state(catalog, "b") == BuildState.READY


# --- what goes first ------------------------------------------------------------------------------


def test_what_took_long_to_build_stays_longer(catalog: Catalog, store: Store) -> None:
    archive(catalog, store, "a", 100, asked_hours_ago=30, build_secs=(3000.0, 3000.0))
    archive(catalog, store, "b", 100, asked_hours_ago=20, build_secs=(30.0, 30.0))
    archive(catalog, store, "c", 100, asked_hours_ago=30, build_secs=(60.0, 60.0))
    assert gone(make_room(catalog, store, 0)) == ["b", "c", "a"]


def test_what_is_large_goes_before_what_is_small(catalog: Catalog, store: Store) -> None:
    archive(catalog, store, "a", 100, asked_hours_ago=30)
    archive(catalog, store, "b", 1000, asked_hours_ago=20)
    assert gone(make_room(catalog, store, 1050)) == ["b"]


def test_what_is_made_in_one_piece_took_as_long_as_its_longest_part(
    catalog: Catalog, store: Store
) -> None:
    """Each of its shards says how long all of it took."""
    archive(catalog, store, "a", 100, 30, build_secs=(500.0,) * 9, plan_bytes=0)
    archive(catalog, store, "b", 100, 30, build_secs=(500.0,) * 9)
    with catalog.read() as connection:
        costs = {each.content_key[0]: each.build_secs for each in holdings(connection)}
    assert costs == {"a": 500.0, "b": 4500.0}


def test_another_goes_where_one_is_asked_for_meanwhile(
    catalog: Catalog, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, hours in (("a", 50), ("b", 40), ("c", 30)):
        archive(catalog, store, name, 100, asked_hours_ago=hours)
    take = room.take_away
    asked = []

    def asked_meanwhile(*given: Any) -> Any:
        if not asked:
            asked.append("a")
            with catalog.write() as change:
                named = update(datasets).where(datasets.c.dataset_id == "a" * 64)
                change.connection.execute(named.values(asked_at=time.time()))
        return take(*given)

    monkeypatch.setattr(room, "take_away", asked_meanwhile)
    assert gone(make_room(catalog, store, 200)) == ["b"]


def test_those_who_make_room_at_once_make_no_more_than_one_would(
    catalog: Catalog, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, hours in (("a", 50), ("b", 40), ("c", 30)):
        archive(catalog, store, name, 100, asked_hours_ago=hours)
    take = room.take_away

    def others_are_faster(*given: Any) -> Any:
        assert isinstance(take(*given), Holding)
        return take(*given)

    monkeypatch.setattr(room, "take_away", others_are_faster)
    assert make_room(catalog, store, 200) == Room([])
    assert [state(catalog, name) for name in "abc"] == ["evicted", "ready", "ready"]


# --- what may not go ------------------------------------------------------------------------------


def test_what_is_pinned_stays(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=500)
    archive(catalog, store, "b", 100, asked_hours_ago=30)
    with catalog.write() as change:
        assert lifecycle.pin(change, "a" * 64)
        assert not lifecycle.pin(change, "a" * 64), "as before"
    assert gone(make_room(catalog, store, 0)) == ["b"]
    assert take_away(catalog, store, "a" * 64, force=True) is Stays.PINNED
    assert path.exists()
    with catalog.write() as change:
        assert lifecycle.unpin(change, "a" * 64)
        assert not lifecycle.unpin(change, "a" * 64)
    assert gone(make_room(catalog, store, 0)) == ["a"]


def begin(catalog: Catalog, name: str, hours_ago: float, server: str = "s") -> downloads.Download:
    with catalog.write() as change:
        return downloads.begin(change, name * 64, time.time() - hours_ago * HOUR_SECS, server)


def test_what_is_being_downloaded_stays_till_an_hour_after(catalog: Catalog, store: Store) -> None:
    archive(catalog, store, "a", 100, asked_hours_ago=30)
    download = begin(catalog, "a", hours_ago=5)
    assert take_away(catalog, store, "a" * 64) is Stays.DOWNLOADED
    with catalog.write() as change:
        downloads.end(change, [(download, 100, time.time() - 60)])
    assert take_away(catalog, store, "a" * 64) is Stays.RECENT, "the next range may come"
    with catalog.write() as change:
        downloads.end(change, [(download, 100, time.time() - 2 * HOUR_SECS)])
    assert isinstance(take_away(catalog, store, "a" * 64), Holding)


def test_downloads_of_a_notifier_that_is_gone_keep_nothing(catalog: Catalog, store: Store) -> None:
    for name in "abc":
        archive(catalog, store, name, 100, asked_hours_ago=30)
    begin(catalog, "a", hours_ago=5, server="gone")
    begin(catalog, "b", hours_ago=5, server="alive")
    begin(catalog, "c", hours_ago=25, server="gone for good")
    with catalog.write() as change:
        assert downloads.end_all_of(change, ["gone", "never there"], time.time() - 7000) == 1
    assert gone(make_room(catalog, store, 0)) == ["c", "a"]


def test_force_takes_what_was_just_told(catalog: Catalog, store: Store) -> None:
    path = archive(catalog, store, "a", 100, asked_hours_ago=0)
    begin(catalog, "a", hours_ago=0)
    assert take_away(catalog, store, "a" * 64) is Stays.DOWNLOADED
    taken = take_away(catalog, store, "a" * 64, force=True)
    assert isinstance(taken, Holding)
    assert (taken.kind, taken.bytes, path.exists()) == (Kind.ARCHIVE, 100, False)
    assert take_away(catalog, store, "a" * 64, force=True) is None


def test_all_ids_are_told_that_it_is_gone(catalog: Catalog, store: Store) -> None:
    archive(catalog, store, "a", 100, asked_hours_ago=30)
    with catalog.write() as change:
        row = change.connection.execute(datasets.select()).mappings().one()
        change.connection.execute(insert(datasets), {**row, "dataset_id": "f" * 64})
    take_away(catalog, store, "a" * 64)
    with catalog.read() as connection:
        told = {message.routing_key for message in unsent(connection)}
    assert told == {f"dataset.evicted.{name * 64}" for name in "af"}


@pytest.mark.parametrize("hours", [-1000.0, 1000.0])
def test_clocks_that_were_wrong_keep_nothing_for_ever(
    catalog: Catalog, store: Store, hours: float
) -> None:
    """As when it was asked for, and fetched, while the clock was far ahead, or behind."""
    archive(catalog, store, "a", 100, asked_hours_ago=hours)
    begin(catalog, "a", hours_ago=hours)
    assert gone(make_room(catalog, store, 0)) == ["a"]


def test_a_wrong_time_hides_no_right_one(catalog: Catalog, store: Store) -> None:
    """As when it was built while the clock was ahead, and asked for since that was set right."""
    archive(catalog, store, "a", 100, asked_hours_ago=0.1)
    with catalog.write() as change:
        change.connection.execute(update(builds).values(ended_at=time.time() + 1e6))
        row = change.connection.execute(datasets.select()).mappings().one()
        other = {**row, "dataset_id": "f" * 64, "asked_at": time.time() + 1e6}
        change.connection.execute(insert(datasets), other)
    begin(catalog, "a", hours_ago=-1000)
    assert take_away(catalog, store, "a" * 64) is Stays.RECENT


def test_a_clock_that_was_set_back_a_little_does_not_hurry(catalog: Catalog, store: Store) -> None:
    archive(catalog, store, "a", 100, asked_hours_ago=-0.5)
    assert make_room(catalog, store, 0).gone == []


# --- what builds that ended have left -------------------------------------------------------------


def unfinished(catalog: Catalog, store: Store, name: str, ended_hours_ago: float) -> Path:
    """Put a build into catalog and store that failed when one of two shards was done."""
    archive(catalog, store, name, 100, ended_hours_ago, build_secs=(5.0, 5.0)).unlink()
    with store.scratch() as folder:
        (folder / "shard").write_bytes(b"x" * 10)
        file = store.keep_shard(folder / "shard", name * 64, 0, 1)
    failed = {"state": BuildState.FAILED, "archive": None, "bytes": None}
    failed |= {"ended_at": time.time() - ended_hours_ago * HOUR_SECS}
    with catalog.write() as change:
        named = builds.c.content_key == name * 64
        change.connection.execute(update(builds).where(named).values(failed))
        first = (shards.c.content_key == name * 64) & (shards.c.number == 0)
        change.connection.execute(update(shards).where(first).values(file=file))
    return store.shard_path(name * 64, file)


def test_shards_that_were_kept_for_the_next_time_count_and_may_go(
    catalog: Catalog, store: Store
) -> None:
    old = unfinished(catalog, store, "a", ended_hours_ago=30)
    new = unfinished(catalog, store, "b", ended_hours_ago=0.5)
    with catalog.read() as connection:
        assert held_bytes(connection) == 20
    made = make_room(catalog, store, 0)
    assert [(each.kind, each.bytes) for each in made.gone] == [(Kind.SHARDS, 10)]
    assert made.over_bytes == 10
    assert (old.exists(), new.exists()) == (False, True)
    assert state(catalog, "a") == BuildState.FAILED, "nobody has to be told"
    with catalog.read() as connection:
        assert held_bytes(connection) == 10
        assert not unsent(connection)
        row, _ = lifecycle.find_shards(connection, "a" * 64)
    assert (row.file, row.sha256) == (None, "a" * 64)
