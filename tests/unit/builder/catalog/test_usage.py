"""What was asked for, downloaded and saved, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, insert, update

from datamill_builder.catalog import Catalog, lifecycle, usage
from datamill_builder.catalog.schema import builds, datasets, downloads, requests
from datamill_builder.catalog.usage import Counted, Saving, Usage
from tests.support.postgresql import PostgresqlServer, postgresql
from tests.unit.builder.life import KEY, Life, request

__all__ = ["postgresql"]

ARCHIVE_BYTES = 5000
"""Of the archives that `Life` makes."""
BUILD_SECS = 1.0
"""Of two shards that `Life` makes."""


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


def ask_again(catalog: Catalog, dataset_id: str, times: int) -> None:
    with catalog.write() as change:
        lifecycle.log_requests(change, [f"again-{n}" for n in range(times)], dataset_id)


def download(catalog: Catalog, count: int, at: float = 0.0, key: str = KEY) -> None:
    with catalog.write() as change:
        row = {"content_key": key, "bytes": count, "started_at": at}
        change.connection.execute(insert(downloads), row)


def saved(catalog: Catalog) -> Saving:
    with catalog.read() as connection:
        return usage.savings(connection)


def used(catalog: Catalog, key: str = KEY) -> Usage:
    with catalog.read() as connection:
        return usage.usage_of(connection, [key])[key]


def test_nothing_was_asked_for(catalog: Catalog) -> None:
    assert saved(catalog) == Saving()
    with catalog.read() as connection:
        assert usage.usage_of(connection, []) == {}
        assert usage.usage_of(connection, [KEY]) == {}


def test_who_asks_alone_saves_nothing(catalog: Catalog, life: Life) -> None:
    life.ready(request())
    download(catalog, ARCHIVE_BYTES)
    assert saved(catalog) == Saving(1, 1, BUILD_SECS, 0.0, ARCHIVE_BYTES, 0)


def test_who_shares_saves_a_build_each(catalog: Catalog, life: Life) -> None:
    dataset_id = life.ready(request())
    ask_again(catalog, dataset_id, 3)
    assert saved(catalog).saved_secs == 3 * BUILD_SECS
    assert used(catalog).saving == saved(catalog)


def test_requests_of_another_spelling_count_for_the_same_build(
    catalog: Catalog, life: Life
) -> None:
    life.ready(request())
    alias = life.accept(request(prefix=""), "m2")
    life.resolve(alias)
    with catalog.write() as change:
        build = lifecycle.find_build(change.connection, KEY)
        assert build is not None
        lifecycle.answer_ready(change, alias, build, "http://here.test")
    assert (saved(catalog).requests, saved(catalog).saved_secs) == (2, BUILD_SECS)


def test_bytes_that_clients_had_already(catalog: Catalog, life: Life) -> None:
    dataset_id = life.ready(request())
    ask_again(catalog, dataset_id, 4)
    download(catalog, ARCHIVE_BYTES)
    download(catalog, ARCHIVE_BYTES - 1000)  # a part: the rest was fetched as shards
    assert saved(catalog).sent_bytes == 2 * ARCHIVE_BYTES - 1000
    assert saved(catalog).saved_bytes == 3 * ARCHIVE_BYTES + 1000
    assert used(catalog).downloads == 2


def test_more_bytes_than_requests_save_nothing_and_cost_others_nothing(
    catalog: Catalog, life: Life
) -> None:
    life.ready(request())
    download(catalog, 10 * ARCHIVE_BYTES)  # by a browser, say
    other = life.ready(request("toy", repeat=2), key="d" * 64)
    ask_again(catalog, other, 1)
    download(catalog, ARCHIVE_BYTES, key="d" * 64)
    assert used(catalog).saving.saved_bytes == 0
    assert saved(catalog).saved_bytes == ARCHIVE_BYTES


def test_what_nobody_has_downloaded_is_in_no_cache(catalog: Catalog, life: Life) -> None:
    ask_again(catalog, life.ready(request()), 4)
    assert saved(catalog).saved_bytes == 0


def test_who_still_waits_has_saved_nothing_yet(catalog: Catalog, life: Life) -> None:
    dataset_id = life.building(request())
    ask_again(catalog, dataset_id, 5)
    with catalog.write() as change:
        lifecycle.wait_for(change, dataset_id, 5)
    life.shard(0)
    assert saved(catalog) == Saving(6, 1, BUILD_SECS / 2, 0.0, 0, 0)
    life.shard(1)
    life.pack()
    assert saved(catalog).saved_secs == 5 * BUILD_SECS


def test_a_rebuild_is_not_saved_and_what_was_saved_stays(catalog: Catalog, life: Life) -> None:
    dataset_id = life.ready(request())
    ask_again(catalog, dataset_id, 3)
    with catalog.write() as change:
        lifecycle.evicted(change, KEY)
    assert saved(catalog).saved_secs == 3 * BUILD_SECS
    with catalog.write() as change:
        lifecycle.forget_shards(change, KEY, [0, 1])
        lifecycle.build_again(change, KEY)
    assert (saved(catalog).builds, saved(catalog).saved_secs) == (2, 2 * BUILD_SECS)


def test_a_failure_saves_nothing(catalog: Catalog, life: Life) -> None:
    dataset_id = life.building(request())
    life.shard(0)
    ask_again(catalog, dataset_id, 3)
    with catalog.write() as change:
        lifecycle.cancel(change, dataset_id)
    assert saved(catalog) == Saving(4, 1, BUILD_SECS / 2, 0.0, 0, 0)


def test_last_use(catalog: Catalog, life: Life) -> None:
    life.ready(request())
    with catalog.write() as change:
        change.connection.execute(update(datasets).values(asked_at=1000.0))
    assert used(catalog).last_used_at == 1000.0
    download(catalog, 1, at=2000.0)
    download(catalog, 1, at=1500.0)
    assert used(catalog).last_used_at == 2000.0
    with catalog.write() as change:
        change.connection.execute(update(builds).values(read_at=3000.0))
    assert used(catalog).last_used_at == 3000.0, "shard by shard is a use, too"


def test_over_time(catalog: Catalog, life: Life) -> None:
    dataset_id = life.ready(request())
    with catalog.write() as change:
        change.connection.execute(update(requests).values(accepted_at=7200.25))
        rows = [
            {"message_id": f"t{at}", "dataset_id": dataset_id, "accepted_at": at}
            for at in (3600.25, 7100.75, 7300.0, 20000.0)
        ]
        change.connection.execute(insert(requests), rows)
    download(catalog, 1, at=7205.0)
    hour = 3600
    with catalog.read() as connection:
        asked = usage.requests_over_time(connection, dataset_id, hour)
        assert asked == [Counted(3600, 2), Counted(7200, 2), Counted(18000, 1)]
        assert usage.requests_over_time(connection, dataset_id, hour, since=7200.0) == asked[1:]
        assert usage.downloads_over_time(connection, KEY, hour) == [Counted(7200, 1)]
        assert usage.requests_over_time(connection, "0" * 64, hour) == []


def test_each_number_of_a_build_is_found_by_an_index(tmp_path: Path) -> None:
    """With ten thousand datasets nothing may read a whole table for each of them."""
    opened = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    statements: list[str] = []
    with opened.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
        usage.usage_of(connection, [KEY])
        (statement,) = (each for each in statements if each.startswith("SELECT"))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (KEY,)).all()
    opened.close()
    steps = [row[3] for row in plan]
    assert [step for step in steps if step.startswith("SCAN")] == []
    searched = [step.split()[1] for step in steps if step.startswith("SEARCH")]
    assert set(searched) == {"builds", "datasets", "requests", "shards", "downloads"}
