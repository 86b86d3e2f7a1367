"""The keeper brings the store under its budget by itself, and deletes what others evicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.keeper import Keeper
from datamill_builder.store import Store
from tests.support.archives import pack
from tests.support.catalog_steps import Steps
from tests.unit.builder.waiting import until

PERIOD_SECS = 0.05


@pytest.fixture
def keep(catalog: Catalog, store: Store) -> Iterator[Callable[[int | None], Keeper]]:
    """Start keepers; all are ended with the test."""
    started: list[Keeper] = []

    def start(budget_bytes: int | None) -> Keeper:
        started.append(Keeper(catalog, store, budget_bytes, PERIOD_SECS))
        started[-1].start()
        return started[-1]

    yield start
    for keeper in started:
        keeper.stop()
        keeper.join(10)
        assert not keeper.is_alive()


@pytest.fixture
def steps(catalog: Catalog, store: Store) -> list[Steps]:
    """Two archives."""
    archives = [pack(content_key=f"{number:064x}") for number in range(2)]
    return [Steps(catalog, store, {"n": a.name}, archive=a).ready() for a in archives]


def path(made: Steps) -> Path:
    return made.store.archive_path(made.archive.name)


def grow_old(made: Steps) -> None:
    with made.catalog.write() as change:
        for table, column in ((datasets, "asked_at"), (builds, "ended_at")):
            mine = table.c.content_key == made.content_key
            change.connection.execute(update(table).where(mine).values({column: 1.0}))


def test_what_may_go_later_goes_later(
    steps: list[Steps],
    keep: Callable[[int | None], Keeper],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = steps
    keep(len(second.archive.body))
    until(lambda: "over its budget, and nothing may go yet" in caplog.text)
    assert path(first).exists() and path(second).exists()
    grow_old(first)
    until(lambda: not path(first).exists())
    assert path(second).exists()
    assert caplog.text.count("over its budget") == 1, "said once, not every minute"


def test_what_was_evicted_by_others_is_deleted(
    catalog: Catalog, steps: list[Steps], keep: Callable[[int | None], Keeper]
) -> None:
    evicted, other = steps
    with catalog.write() as change:
        lifecycle.evicted(change, evicted.content_key)
    assert path(evicted).exists()
    keep(None)
    until(lambda: not path(evicted).exists())
    assert path(other).exists()
