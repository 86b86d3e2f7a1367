"""Who is told by a state that an archive is there finds it there for an hour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from datamill_builder.catalog import Catalog, CatalogUnavailable, Transaction, lifecycle
from datamill_builder.catalog.holdings import KEPT_SECS, Stays, take_away
from datamill_builder.store import Store
from datamill_notifier.told_log import ToldLog
from tests.support.ageing import unused_for
from tests.support.builder_fixtures import catalog, life, memory, shared_catalog, store
from tests.support.eventually import eventually
from tests.unit.builder.life import ARCHIVE, KEY, Life, request

__all__ = ["catalog", "life", "memory", "shared_catalog", "store"]

DAY_SECS = 86_400.0


class Counting:
    """A catalog that counts changes, and is away while a test says so."""

    def __init__(self, real: Catalog) -> None:
        self._real = real
        self.away = False
        self.changes = 0

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        self.changes += 1
        if self.away:
            raise CatalogUnavailable("away")
        with self._real.write() as change:
            yield change


@pytest.fixture
def counting(catalog: Catalog) -> Counting:
    return Counting(catalog)


@pytest.fixture
def log(counting: Counting) -> Iterator[ToldLog]:
    given: Any = counting
    started = ToldLog(given)
    started.start()
    yield started
    started.stop()
    started.join(10)
    assert not started.is_alive()


@pytest.fixture
def unused(life: Life, store: Store) -> str:
    """A dataset that is ready, which nobody has used for a day."""
    dataset_id = life.ready(request())
    store.archive_path(ARCHIVE).write_bytes(b"archive")
    unused_for(life.catalog, KEY, DAY_SECS)
    return dataset_id


def test_it_stays_for_an_hour(life: Life, store: Store, log: ToldLog, unused: str) -> None:
    asked_at = life.dataset(unused).asked_at
    log.note(unused)
    eventually(lambda: life.build().told_at)
    assert take_away(life.catalog, store, KEY) is Stays.RECENT
    assert life.dataset(unused).asked_at == asked_at, "nobody has asked for it"
    unused_for(life.catalog, KEY, KEPT_SECS)
    assert take_away(life.catalog, store, KEY) is Stays.RECENT, "others were told meanwhile"
    unused_for(life.catalog, KEY, 61.0)
    assert take_away(life.catalog, store, KEY) not in (None, Stays.RECENT)


def test_a_crowd_that_looks_is_one_change(
    life: Life, log: ToldLog, counting: Counting, unused: str
) -> None:
    for _ in range(1000):
        log.note(unused)
    eventually(lambda: life.build().told_at)
    log.stop()
    log.join(10)
    assert counting.changes == 1


def test_what_is_not_ready_any_more_is_not_kept(
    life: Life, log: ToldLog, counting: Counting, unused: str
) -> None:
    with life.catalog.write() as change:
        lifecycle.evicted(change, KEY)
    resolving = life.accept(request(other=1), "m2")
    for dataset_id in (unused, resolving, "0" * 64):
        log.note(dataset_id)
    eventually(lambda: counting.changes)
    log.stop()
    log.join(10)
    assert life.build().told_at is None


def test_what_could_not_be_noted_is_with_the_next_look(
    life: Life, log: ToldLog, counting: Counting, unused: str
) -> None:
    counting.away = True
    log.note(unused)
    eventually(lambda: counting.changes)
    counting.away = False

    def noted() -> bool:
        log.note(unused)
        return life.build().told_at is not None

    eventually(noted)


@pytest.mark.parametrize(
    ("before", "told", "expected"),
    [(None, 0.0, 0.0), (-60.0, 0.0, 0.0), (60.0, -60.0, 60.0), (1e6, -60.0, -60.0)],
)
def test_the_last_time_counts_but_for_a_clock_that_was_ahead(
    life: Life, before: float | None, told: float, expected: float
) -> None:
    dataset_id, now = life.ready(request()), time.time()
    for each in (before, told):
        if each is not None:
            with life.catalog.write() as change:
                lifecycle.told_ready(change, [dataset_id], now + each)
    assert life.build().told_at == pytest.approx(now + expected, abs=1e-3)
