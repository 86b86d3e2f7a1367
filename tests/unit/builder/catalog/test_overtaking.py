"""Two changes at once on PostgreSQL, each begun before the other is committed.

On SQLite they wait in line. Here each reads what was committed before, so whatever one decides
from what it reads has to be held, or the other overtakes it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, text

from datamill.broker import Delivery
from datamill.events import Reason
from datamill_builder.catalog import Catalog, Transaction, lifecycle, schema
from datamill_builder.catalog.holdings import Stays, take_away
from datamill_builder.catalog.lifecycle import ArchiveResult, Failure
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind, TaskState
from datamill_builder.intake import Intake
from datamill_builder.store import Store
from tests.support.ageing import unused_for
from tests.support.postgresql import PostgresqlServer, postgresql
from tests.unit.builder.life import ARCHIVE, KEY, URL, Life, request, shard_result
from tests.unit.builder.waiting import until

__all__ = ["postgresql"]

RECIPE = {"dataset_name": "toy", "config": {"repeat": 1}, "mode": "sharded"}
FAILURE = Failure(Reason.HANDLER_ERROR, "it broke", retryable=True)


@pytest.fixture(scope="module")
def server(postgresql: PostgresqlServer) -> Iterator[Catalog]:
    opened = Catalog(postgresql.add_database())
    yield opened
    opened.close()


@pytest.fixture
def catalog(server: Catalog) -> Iterator[Catalog]:
    yield server
    with server.write() as change:
        for table in reversed(schema.metadata.sorted_tables):
            if table is not schema.meta:
                change.connection.execute(delete(table))


class Two:
    """Two changes: the second begins when the first has done its part, and is not committed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def run(
        self, first: Callable[[Transaction], Any], second: Callable[[], Any]
    ) -> tuple[Any, Any]:
        """Return what both returned. The first is committed once the second waits or is done."""
        done, go = threading.Event(), threading.Event()

        def begin() -> Any:
            with self._catalog.write() as change:
                result = first(change)
                done.set()
                assert go.wait(30)
            return result

        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(begin)
            until(lambda: done.is_set() or one.done())
            other = pool.submit(second)
            until(lambda: other.done() or self.somebody_waits())
            go.set()
            return one.result(30), other.result(30)

    def somebody_waits(self) -> bool:
        """Return whether a change waits for what another one holds."""
        with self._catalog.read() as connection:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(connection.scalar(waiting))


@pytest.fixture
def two(catalog: Catalog) -> Two:
    return Two(catalog)


def packing(life: Life) -> Any:
    """Bring a build to its packing; return the claim of that and who asked."""
    dataset_id = life.building(request(), shards=1)
    life.shard(0)
    claim = life.claim(TaskKind.PACK, KEY)
    life.forget_told()
    return claim, dataset_id


def pack(change: Transaction, claim: Any) -> None:
    archive = ArchiveResult(ARCHIVE, 5000, "a" * 64, "mark", [1000])
    lifecycle.pack_done(change, claim, archive, 4, URL)


def test_of_two_last_shards_one_begins_the_packing(life: Life, two: Two) -> None:
    life.building(request(), shards=2)
    claims = [life.claim(TaskKind.SHARD, KEY, index) for index in range(2)]

    def made(change: Transaction, index: int) -> None:
        lifecycle.shard_done(change, claims[index], shard_result(index), URL)

    def other() -> None:
        with life.catalog.write() as change:
            made(change, 1)

    two.run(lambda change: made(change, 0), other)
    assert life.build().state == BuildState.PACKING
    assert life.pending() == {(TaskKind.PACK, KEY, 0)}


@pytest.mark.parametrize("packed_first", [True, False])
def test_who_joins_a_build_as_it_ends_has_its_answer(
    life: Life, two: Two, packed_first: bool
) -> None:
    claim, _ = packing(life)
    late = life.accept(request(late=1), "m2")
    resolving = life.claim(TaskKind.RESOLVE, late)
    life.forget_told()

    def join(change: Transaction) -> None:
        build = lifecycle.resolved(change, resolving, KEY, RECIPE, "{}")
        if build.state == BuildState.READY:  # as a steward does
            lifecycle.answer_ready(change, late, build, URL)

    def in_change(step: Callable[[Transaction], None]) -> Callable[[], None]:
        def run() -> None:
            with life.catalog.write() as change:
                step(change)

        return run

    if packed_first:
        two.run(lambda change: pack(change, claim), in_change(join))
    else:
        two.run(join, in_change(lambda change: pack(change, claim)))
    told = [event["event"] for event in life.told() if event["dataset_id"] == late]
    assert told.count("ready") == 1
    assert life.dataset(late).waiting == 0


def test_who_asks_as_a_build_ends_has_its_answer(life: Life, two: Two, store: Store) -> None:
    claim, dataset_id = packing(life)
    intake = Intake(life.catalog, store, lambda: URL, lambda _marks: None)  # type: ignore[arg-type]
    asked = Delivery(request().encode(), "dataset.request.toy", "late", False, 1)
    two.run(lambda change: pack(change, claim), lambda: intake.handle([asked]))
    events = [event["event"] for event in life.told()]
    # No archive lies in this store: who asks after the end makes it resolve anew.
    assert events == ["ready", "accepted"]
    assert life.dataset(dataset_id).state == DatasetState.RESOLVING


def test_a_cancelled_build_stays_cancelled_whatever_was_under_way(life: Life, two: Two) -> None:
    claim, dataset_id = packing(life)

    def cancel() -> bool:
        with life.catalog.write() as change:
            return lifecycle.cancel(change, dataset_id)

    _, stopped = two.run(lambda change: pack(change, claim), cancel)
    assert not stopped, "it was ready first"
    assert life.build().state == BuildState.READY


def test_cancelling_and_failing_at_once_wait_in_line(life: Life, two: Two) -> None:
    dataset_id = life.building(request(), shards=2)
    claim = life.claim(TaskKind.SHARD, KEY, 0)
    life.forget_told()

    def cancel() -> bool:
        with life.catalog.write() as change:
            return lifecycle.cancel(change, dataset_id)

    _, stopped = two.run(lambda change: lifecycle.work_failed(change, claim, FAILURE), cancel)
    assert not stopped
    assert life.build().state == BuildState.FAILED
    assert [event["event"] for event in life.told()] == ["failed"], "nobody is told twice"


def test_a_search_that_found_its_build_has_that_cancelled(life: Life, two: Two) -> None:
    dataset_id = life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, dataset_id)

    def cancel() -> bool:
        with life.catalog.write() as change:
            return lifecycle.cancel(change, dataset_id)

    def resolve(change: Transaction) -> None:
        lifecycle.resolved(change, claim, KEY, RECIPE, "{}")

    _, stopped = two.run(resolve, cancel)
    assert stopped
    row = life.dataset(dataset_id)
    assert (row.state, row.content_key, row.waiting) == (DatasetState.RESOLVED, KEY, 0)
    assert life.build().state == BuildState.CANCELLED
    assert life.task(TaskKind.RESOLVE, dataset_id).state == TaskState.DONE
    assert life.told()[-1]["reason"] == Reason.CANCELLED


def test_cancelling_waits_for_no_build_while_it_holds_a_dataset(life: Life, two: Two) -> None:
    """Or it and who holds the build, and wants the dataset, would wait for each other."""
    dataset_id = life.building(request())

    def cancel() -> bool:
        with life.catalog.write() as change:
            return lifecycle.cancel(change, dataset_id)

    with ThreadPoolExecutor(1) as pool:
        with life.catalog.write() as change:
            lifecycle.hold_build(change, KEY)
            stopped = pool.submit(cancel)
            until(two.somebody_waits)
            assert lifecycle.hold_aliases(change, KEY) == [dataset_id]
        assert stopped.result(30)
    assert life.build().state == BuildState.CANCELLED


def test_a_catalog_that_is_locked_takes_no_changes(catalog: Catalog) -> None:
    assert catalog.takes_changes(0.1)
    with catalog.write() as change:
        change.connection.execute(text("LOCK TABLE meta"))
        assert not catalog.takes_changes(0.1)
    assert catalog.takes_changes(0.1)


def test_two_who_ask_anew_at_once_begin_one_search(life: Life, two: Two, store: Store) -> None:
    dataset_id = life.accept(request())
    claim = life.claim(TaskKind.RESOLVE, dataset_id)
    with life.catalog.write() as change:
        lifecycle.resolve_failed(change, claim, FAILURE)
        change.connection.execute(schema.datasets.update().values(failed_at=time.time() - 3600))
    life.forget_told()
    intake = Intake(life.catalog, store, lambda: URL, lambda _marks: None)  # type: ignore[arg-type]

    def ask(message_id: str) -> list[bool]:
        asked = Delivery(request().encode(), "dataset.request.toy", message_id, False, 1)
        return intake.handle([asked])

    def first(change: Transaction) -> None:
        lifecycle.resolve_again(change, dataset_id)
        lifecycle.wait_for(change, dataset_id, 1)

    two.run(first, lambda: ask("m3"))
    assert life.woken() == [("resolve", dataset_id, 0)]
    assert life.dataset(dataset_id).waiting == 2


# --- what is taken out of the store ---


@pytest.mark.parametrize("meanwhile", ["pinned", "asked for", "asked anew", "evicted"])
def test_who_takes_an_archive_away_sees_what_was_said_meanwhile(
    life: Life, two: Two, store: Store, meanwhile: str
) -> None:
    dataset_id = life.ready(request(), shards=1)
    store.archive_path(ARCHIVE).write_bytes(b"archive")
    unused_for(life.catalog, KEY, 86_400.0)
    life.forget_told()

    def say(change: Transaction) -> None:
        if meanwhile == "pinned":
            lifecycle.pin(change, KEY)
        elif meanwhile == "asked for":
            lifecycle.hold_dataset(change, dataset_id)
            lifecycle.answer_ready(change, dataset_id, life.build(), URL)
        elif meanwhile == "asked anew":
            lifecycle.resolve_again(change, dataset_id)
        else:
            lifecycle.hold_build(change, KEY)
            lifecycle.evicted(change, KEY)

    _, taken = two.run(say, lambda: take_away(life.catalog, store, KEY))
    expected = {
        "pinned": Stays.PINNED,
        "asked for": Stays.RECENT,
        "asked anew": Stays.WANTED,
        "evicted": None,
    }
    assert taken is expected[meanwhile]
    assert store.archive_path(ARCHIVE).exists()
    told = [event["event"] for event in life.told()]
    assert told.count("evicted") == (meanwhile == "evicted")


def test_who_asks_while_an_archive_is_taken_away_has_it_built_again(
    life: Life, two: Two, store: Store
) -> None:
    dataset_id = life.ready(request(), shards=1)
    intake = Intake(life.catalog, store, lambda: URL, lambda _marks: None)  # type: ignore[arg-type]
    body = request().encode()

    def take(change: Transaction) -> None:
        lifecycle.hold_build(change, KEY)
        lifecycle.evicted(change, KEY)

    asked = Delivery(body, "dataset.request.toy", "m2", False, 1)
    two.run(take, lambda: intake.handle([asked]))
    assert life.dataset(dataset_id).state == DatasetState.RESOLVING
    assert (TaskKind.RESOLVE, dataset_id, 0) in life.pending()
