"""A builder's sign of life: there while it runs, and what it has counted with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import select, update

from datamill_builder.catalog import Catalog, CatalogUnavailable, builders, counted, counters
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.schema import builders as builders_table
from datamill_builder.heartbeat import Heartbeat
from tests.support.eventually import eventually

NAME = "a" * 32


def rows(catalog: Catalog) -> list[Any]:
    with catalog.read() as connection:
        return list(connection.execute(select(builders_table)))


def alive(catalog: Catalog) -> tuple[int, int]:
    with catalog.read() as connection:
        return builders.alive(connection)


def records(catalog: Catalog) -> float:
    with catalog.read() as connection:
        return counters.read(connection).get(("records", ()), 0)


def started(catalog: Catalog, count: Counters, name: str = NAME, workers: int = 3) -> Heartbeat:
    heartbeat = Heartbeat(catalog, name, workers, count, every_secs=0.05)
    heartbeat.start()
    return heartbeat


def ended(heartbeat: Heartbeat) -> None:
    heartbeat.stop()
    heartbeat.join(10)
    assert not heartbeat.is_alive()


def test_it_is_seen_while_it_runs(catalog: Catalog) -> None:
    count = Counters()
    heartbeat = started(catalog, count)
    first = eventually(lambda: rows(catalog))[0]
    assert alive(catalog) == (1, 3)
    assert first.host and first.version
    count.add(counted.RECORDS, 7)
    assert eventually(lambda: records(catalog)) == 7
    eventually(lambda: rows(catalog)[0].seen_at > first.seen_at)
    count.add(counted.RECORDS, 1)
    ended(heartbeat)
    (last,) = rows(catalog)
    assert last.name == NAME
    assert last.started_at == first.started_at
    assert first.stopped_at is None and last.stopped_at is not None
    assert alive(catalog) == (0, 0)
    assert records(catalog) == 8, "what it counted at the end too"


def test_one_that_was_killed_is_not_taken_for_alive_for_long(catalog: Catalog) -> None:
    ended(started(catalog, Counters()))
    silent = time.time() - builders.SILENT_SECS - 1
    with catalog.write() as change:
        change.connection.execute(update(builders_table).values(seen_at=silent, stopped_at=None))
    assert alive(catalog) == (0, 0)


def test_those_long_gone_are_forgotten(catalog: Catalog) -> None:
    ended(started(catalog, Counters(), "old"))
    with catalog.write() as change:
        change.connection.execute(
            update(builders_table).values(seen_at=builders_table.c.seen_at - 25 * 3600)
        )
    ended(started(catalog, Counters(), "new"))
    assert [row.name for row in rows(catalog)] == ["new"]


class _Away:
    """A catalog that is away for a while."""

    def __init__(self, catalog: Catalog, times: int) -> None:
        self._catalog = catalog
        self.times = times

    def write(self) -> AbstractContextManager[Any]:
        self.times -= 1
        if self.times >= 0:
            raise CatalogUnavailable("away")
        return self._catalog.write()


def test_a_catalog_that_is_away_costs_no_count(catalog: Catalog) -> None:
    count = Counters()
    count.add(counted.RECORDS, 5)
    away: Callable[..., Any] = _Away
    heartbeat = started(away(catalog, 3), count)
    assert eventually(lambda: records(catalog)) == 5
    ended(heartbeat)
    assert records(catalog) == 5
