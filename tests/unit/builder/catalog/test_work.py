"""Who is at what, what waits, and what is tried again, on each database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from datamill_builder.catalog import Catalog, builders, schema, tasks, work
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.tasks import NO_SPACE
from datamill_builder.catalog.work import Work
from tests.support.postgresql import PostgresqlServer, postgresql
from tests.unit.builder.life import KEY, Life, request

__all__ = ["postgresql"]


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        url = server.add_database()
    opened = Catalog(url)
    yield opened
    opened.close()


@pytest.fixture
def life(catalog: Catalog) -> Life:
    return Life(catalog)


def work_on(catalog: Catalog, *subjects: str) -> dict[str, Work]:
    with catalog.read() as connection:
        return work.work_on(connection, subjects, work.in_hand(connection))


def goes_wrong(life: Life, kind: TaskKind, subject: str, index: int, error: str) -> None:
    claim = life.claim(kind, subject, index)
    with life.catalog.write() as change:
        tasks.try_again(change, claim, error)


def test_what_is_in_hand_and_what_waits(catalog: Catalog, life: Life) -> None:
    waits = life.accept(request(n=1))
    life.building(request(n=2), KEY, shards=4)
    life.claim(TaskKind.SHARD, KEY, 1, owner="somebody")
    life.shard(2)
    with catalog.read() as connection:
        (held,) = work.in_hand(connection)
    assert (held.kind, held.subject, held.index) == (TaskKind.SHARD, KEY, 1)
    assert (held.owner, held.attempts) == ("somebody", 1)
    found = work_on(catalog, waits, KEY, "0" * 64)
    assert found == {
        waits: Work([], {TaskKind.RESOLVE: 1}),
        KEY: Work([held], {TaskKind.SHARD: 2}),
    }
    assert found[KEY].shards_in_hand == 1


def test_what_is_tried_again_says_why(catalog: Catalog, life: Life) -> None:
    life.building(request(), KEY, shards=4)
    goes_wrong(life, TaskKind.SHARD, KEY, 1, "ValueError: no")
    assert work_on(catalog, KEY)[KEY].errors == {TaskKind.SHARD: "ValueError: no"}
    assert work_on(catalog, KEY)[KEY].no_space is None
    life.claim(TaskKind.SHARD, KEY, 1)
    assert work_on(catalog, KEY)[KEY].errors, "while it is tried again, too"
    goes_wrong(life, TaskKind.SHARD, KEY, 2, NO_SPACE + "store")
    found = work_on(catalog, KEY)[KEY]
    assert (found.no_space, found.errors) == (
        NO_SPACE + "store",
        {TaskKind.SHARD: "ValueError: no"},
    )


def test_of_a_builds_shards_those_are_read_that_are_worth_a_note(
    catalog: Catalog, life: Life
) -> None:
    life.building(request(), KEY, shards=6)
    life.shard(0)
    life.claim(TaskKind.SHARD, KEY, 1)
    goes_wrong(life, TaskKind.SHARD, KEY, 2, "once more")
    claim = life.claim(TaskKind.SHARD, KEY, 3)
    with catalog.write() as change:
        tasks.fail(change, claim, "no")
    with catalog.read() as connection:
        found = work.shards_of_note(connection, KEY)
    assert {number: (task.state, task.error) for number, task in found.items()} == {
        1: (TaskState.LEASED, None),
        2: (TaskState.PENDING, "once more"),
        3: (TaskState.FAILED, "no"),
    }


def test_builders_that_run_or_were_seen(catalog: Catalog) -> None:
    now = time.time()
    with catalog.write() as change:
        for name, seen_at, stopped_at in (
            ("a", now, None),
            ("b", now - 9000, None),
            ("c", now - 10, now - 10),
            ("d", now - 9000, now - 9000),
        ):
            row = {"name": name, "host": name, "workers": 2, "version": "0.1.0"}
            times = {"started_at": now - 9999, "seen_at": seen_at, "stopped_at": stopped_at}
            change.connection.execute(insert(schema.builders), row | times)
    with catalog.read() as connection:
        found = builders.known(connection, now - 3600)
    assert [row.name for row in found] == ["a", "b", "c"]
