"""Archives grow while their shards are made, and whatever keeps one from it does no harm."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import update

from datamill.events import Reason
from datamill_builder import assembler as module
from datamill_builder.assembler import Assembler
from datamill_builder.catalog import Catalog, lifecycle, schema
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.states import TaskKind
from datamill_builder.disk_space import DiskSpace
from datamill_builder.growing_archive import GrowingArchive
from datamill_builder.shard_file import read_shard
from datamill_builder.store import Store
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps
from tests.support.eventually import eventually
from tests.support.json_log import LogLines
from tests.unit.builder.recipes import recipe

SHARDS = 3


@pytest.fixture
def space(store: Store) -> DiskSpace:
    return DiskSpace(store.root)


@pytest.fixture
def assembler(
    catalog: Catalog, store: Store, space: DiskSpace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Assembler]:
    monkeypatch.setattr(module, "_LOOK_SECS", 0.05)
    assembler = Assembler(catalog, store, space)
    assembler.start()
    yield assembler
    assembler.stop()
    assembler.join(10)
    assert not assembler.is_alive()


class Build:
    """A build whose shards are all in the catalog, as far as they were made."""

    def __init__(self, catalog: Catalog, store: Store, number: int = 0) -> None:
        self.key = f"{number:064x}"
        payloads = [
            [example(number=10 * shard + n, text=b"x") for n in range(3)] for shard in range(SHARDS)
        ]
        archive = pack({"train": payloads}, content_key=self.key)
        self.steps = Steps(catalog, store, {"number": number}, archive=archive)
        self.steps.accepted().resolved()
        with catalog.write() as change:
            change.connection.execute(
                update(schema.builds)
                .where(schema.builds.c.content_key == self.key)
                .values(recipe=recipe().model_dump_json())
            )
        self.steps.planned()
        self._catalog, self._store = catalog, store

    def make(self, number: int) -> None:
        self.steps.shard_made(number)

    @property
    def rows(self) -> list[Any]:
        with self._catalog.read() as connection:
            return lifecycle.find_shards(connection, self.key)

    def tell(self, assembler: Assembler, number: int) -> None:
        file = self.rows[number].file
        shard = read_shard(self._store.shard_path(self.key, file))
        assembler.committed(self.key, number, file, shard)


@pytest.fixture
def build(catalog: Catalog, store: Store) -> Build:
    build = Build(catalog, store)
    for number in range(SHARDS):
        build.make(number)
    return build


def grown(assembler: Assembler, build: Build, shards: int) -> GrowingArchive:
    eventually(lambda: assembler.grown(build.key) == shards)
    archive = assembler.take(build.key)
    assert archive is not None
    return archive


def test_shards_go_in_in_their_order(assembler: Assembler, build: Build) -> None:
    for number in (2, 0, 1):
        build.tell(assembler, number)
    with closing(grown(assembler, build, SHARDS)) as archive:
        assert archive.is_of(build.rows)
        archive.file.finish()
        with zipfile.ZipFile(archive.path) as opened:
            assert opened.testzip() is None
            assert opened.namelist() == [s.file for s in build.steps.manifest.shards]
            for shard in build.steps.manifest.shards:
                assert opened.read(shard.file) == build.steps.archive.shards[shard.file]


def test_what_is_taken_does_not_grow_any_more(assembler: Assembler, build: Build) -> None:
    build.tell(assembler, 0)
    with closing(grown(assembler, build, 1)) as archive:
        build.tell(assembler, 1)
        assert assembler.take("another") is None
        assert len(archive) == 1


def test_a_build_that_began_anew_grows_from_its_start(assembler: Assembler, build: Build) -> None:
    for number in (0, 1):
        build.tell(assembler, number)
    eventually(lambda: assembler.grown(build.key) == 2)
    build.tell(assembler, 0)
    with closing(grown(assembler, build, 1)) as archive:
        assert archive.is_of(build.rows)


def test_a_shard_that_is_gone_ends_it(
    assembler: Assembler, build: Build, store: Store, log_lines: LogLines
) -> None:
    build.tell(assembler, 0)
    eventually(lambda: assembler.grown(build.key) == 1)
    file = build.rows[1].file
    shard = read_shard(store.shard_path(build.key, file))
    store.drop_shard(build.key, file)
    assembler.committed(build.key, 1, file, shard)
    eventually(lambda: assembler.grown(build.key) is None)
    assert assembler.take(build.key) is None
    assert store.sweep() == 0 and not list((store.root / "scratch").iterdir())
    (line,) = [line for line in log_lines() if "does not grow" in line["message"]]
    assert (line["dataset_id"], line["content_key"]) == (build.steps.dataset_id, build.key)


def test_nothing_stays_of_a_build_that_failed(
    assembler: Assembler, catalog: Catalog, build: Build, store: Store
) -> None:
    build.tell(assembler, 0)
    eventually(lambda: assembler.grown(build.key) == 1)
    with catalog.write() as change:
        lifecycle.build_failed(change, build.key, Failure(Reason.BAD_DATA, "no good"))
    eventually(lambda: assembler.grown(build.key) is None)
    assert not list((store.root / "scratch").iterdir())


def test_a_full_disk_gets_its_room_back(
    assembler: Assembler, build: Build, store: Store, space: DiskSpace
) -> None:
    build.tell(assembler, 0)
    eventually(lambda: assembler.grown(build.key) == 1)
    space.found_full(TaskKind.SHARD, OSError("full"))
    eventually(lambda: assembler.grown(build.key) is None)
    assert not list((store.root / "scratch").iterdir())


def test_only_so_many_grow_at_a_time(assembler: Assembler, catalog: Catalog, store: Store) -> None:
    builds = [Build(catalog, store, number) for number in range(1, module.MOST + 2)]
    for build in builds:
        build.make(0)
        build.tell(assembler, 0)
        eventually(lambda build=build: assembler.grown(build.key) == 1)
    assert assembler.take(builds[0].key) is None
    for build in builds[1:]:
        grown(assembler, build, 1).close()
