"""What is one download: all that one client takes of one archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.holdings import Stays, protection
from datamill_builder.catalog.holdings.holding import holdings
from datamill_builder.catalog.schema import downloads
from datamill_notifier import pieces
from datamill_notifier.download_log import DownloadLog
from datamill_notifier.pieces import GOES_ON_SECS, Downloads
from tests.support.ageing import open_for, unused_for
from tests.support.builder_fixtures import catalog, life, memory, shared_catalog
from tests.support.eventually import eventually
from tests.unit.builder.life import KEY, Life, request

__all__ = ["catalog", "life", "memory", "shared_catalog"]

HERE, THERE = "10.0.0.1", "10.0.0.2"
OTHER = "d" * 64


class Clock:
    """Stands in for `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(pieces, "time", stopped)
    return stopped


@pytest.fixture
def log(catalog: Catalog) -> Iterator[DownloadLog]:
    started = DownloadLog(catalog, "me")
    started.start()
    yield started
    started.stop()
    started.join(10)


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def under_test(clock: Clock, log: DownloadLog, counters: Counters) -> Downloads:
    return Downloads(log, counters)


@pytest.fixture
def logged(catalog: Catalog, log: DownloadLog) -> Any:
    """Return (bytes, whether it has ended) of each download, once all is written."""

    def look() -> list[tuple[int, bool]]:
        with catalog.read() as connection:
            rows = connection.execute(select(downloads).order_by(downloads.c.seq))
            return [(row.bytes, row.ended_at is not None) for row in rows]

    def expect(*expected: tuple[int, bool]) -> None:
        assert eventually(lambda: look() == list(expected)), look()

    return expect


def take(under_test: Downloads, start: int, size: int = 10, client: str = HERE) -> None:
    piece = under_test.begin_piece(KEY, client, start)
    under_test.sent(piece, size)
    under_test.end_piece(piece)


def test_pieces_one_after_the_other(
    under_test: Downloads, clock: Clock, counters: Counters, logged: Any
) -> None:
    for start in range(0, 100, 10):
        take(under_test, start)
        clock.now += GOES_ON_SECS
    logged((100, True))
    assert counters.totals() == {("downloads", ()): 1.0}


def test_several_at_once(under_test: Downloads, logged: Any) -> None:
    under_way = [under_test.begin_piece(KEY, HERE, start) for start in (0, 10, 20, 30)]
    assert under_test.under_way == 1
    logged((0, False))
    for piece in under_way[:3]:
        under_test.sent(piece, 10)
        under_test.end_piece(piece)
    assert under_test.under_way == 1
    under_test.sent(under_way[3], 5)
    under_test.end_piece(under_way[3])
    assert under_test.under_way == 0
    logged((35, True))


def test_from_the_first_byte_it_is_another(under_test: Downloads, logged: Any) -> None:
    """As when four trainers on one machine, or behind one router, take it."""
    first, second = (under_test.begin_piece(KEY, HERE, 0) for _ in range(2))
    assert under_test.under_way == 2
    take(under_test, 10, 7)
    under_test.sent(first, 3)
    under_test.end_piece(first)
    assert under_test.under_way == 1
    under_test.end_piece(second)
    logged((3, True), (7, True))


def test_others_and_other_archives_are_others(under_test: Downloads, logged: Any) -> None:
    take(under_test, 0)
    take(under_test, 10, client=THERE)
    under_test.end_piece(under_test.begin_piece(OTHER, HERE, 10))
    take(under_test, 10, 20)
    logged((30, True), (10, True), (0, True))


def test_who_goes_on_after_long_begins_another(
    under_test: Downloads, clock: Clock, logged: Any
) -> None:
    take(under_test, 0)
    clock.now += GOES_ON_SECS + 1
    take(under_test, 10)
    logged((10, True), (10, True))
    slow = under_test.begin_piece(KEY, HERE, 20)
    clock.now += 10 * GOES_ON_SECS
    take(under_test, 30)
    under_test.end_piece(slow)
    logged((10, True), (20, True))


def test_what_is_over_is_forgotten(under_test: Downloads, clock: Clock) -> None:
    for number in range(100):
        take(under_test, 0, client=str(number))
    kept = under_test.begin_piece(KEY, "slow", 0)
    clock.now += GOES_ON_SECS + 1
    take(under_test, 0)
    assert len(under_test._last) == 2
    under_test.end_piece(kept)


def test_how_far_it_is_is_noted_before_its_end(
    under_test: Downloads, clock: Clock, logged: Any
) -> None:
    """A notifier that is killed forgets what went out in half a minute, not all of it."""
    piece = under_test.begin_piece(KEY, HERE, 0)
    under_test.sent(piece, 10)
    clock.now += 31.0
    under_test.sent(piece, 10)
    logged((20, False))
    under_test.end_piece(piece)


def test_its_archive_stays_though_a_piece_takes_hours(
    under_test: Downloads, life: Life, logged: Any
) -> None:
    life.ready(request())
    take(under_test, 0)
    slow = under_test.begin_piece(KEY, HERE, 10)
    logged((10, False))
    unused_for(life.catalog, KEY, 86_400.0)
    open_for(life.catalog, KEY, 5 * 3600.0)
    with life.catalog.read() as connection:
        (holding,) = holdings(connection, KEY)
    assert protection(holding) is Stays.DOWNLOADED
    under_test.end_piece(slow)
    logged((10, True))
