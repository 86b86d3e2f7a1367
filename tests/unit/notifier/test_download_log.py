"""Downloads in the catalog: what has begun there ends there, whenever the catalog is back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from datamill_builder.catalog import Catalog, CatalogUnavailable, Transaction
from datamill_builder.catalog.schema import builds, downloads
from datamill_notifier.download_log import DownloadLog, LoggedDownload
from tests.support.builder_fixtures import catalog, memory, shared_catalog
from tests.support.eventually import eventually

__all__ = ["catalog", "memory", "shared_catalog"]


class Sometimes:
    """A catalog that is away while a test says so."""

    def __init__(self, real: Catalog) -> None:
        self._real = real
        self.away = False
        self.refused = 0

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        if self.away:
            self.refused += 1
            raise CatalogUnavailable("away")
        with self._real.write() as change:
            yield change


@pytest.fixture
def sometimes(catalog: Catalog) -> Sometimes:
    return Sometimes(catalog)


@pytest.fixture
def log(sometimes: Sometimes) -> Iterator[DownloadLog]:
    given: Any = sometimes
    started = DownloadLog(given, "me")
    started.start()
    yield started
    started.stop()
    started.join(10)
    assert not started.is_alive()


def rows(catalog: Catalog) -> list[Any]:
    with catalog.read() as connection:
        return list(connection.execute(select(downloads).order_by(downloads.c.seq)))


def test_a_download_is_under_way_until_it_ends(catalog: Catalog, log: DownloadLog) -> None:
    download = LoggedDownload("a" * 64)
    log.begin(download)
    (row,) = eventually(lambda: rows(catalog))
    assert (row.server, row.ended_at, row.bytes) == ("me", None, 0)
    log.end(download, 123)
    (row,) = eventually(lambda: [row for row in rows(catalog) if row.ended_at])
    assert row.bytes == 123


def test_an_end_that_could_not_be_written_is_written_with_what_comes_next(
    catalog: Catalog, log: DownloadLog, sometimes: Sometimes
) -> None:
    """Else its archive would be kept for a download that nobody makes."""
    first = LoggedDownload("a" * 64)
    log.begin(first)
    eventually(lambda: rows(catalog))
    sometimes.away = True
    log.end(first, 123)
    eventually(lambda: sometimes.refused)
    lost = LoggedDownload("b" * 64)
    log.begin(lost)
    eventually(lambda: sometimes.refused > 1)
    sometimes.away = False
    log.begin(LoggedDownload("c" * 64))
    eventually(lambda: len(rows(catalog)) == 2)
    found = {row.content_key[0]: (row.bytes, row.ended_at is None) for row in rows(catalog)}
    assert found == {"a": (123, False), "c": (0, True)}


def test_what_is_read_is_noted_with_the_build_and_in_no_row(
    catalog: Catalog, log: DownloadLog, sometimes: Sometimes
) -> None:
    key = "a" * 64
    row = {"content_key": key, "dataset_name": "toy", "state": "ready", "recipe": "{}"}
    with catalog.write() as change:
        change.connection.execute(builds.insert(), {**row, "created_at": 0.0})

    def read_at() -> Any:
        with catalog.read() as connection:
            return connection.scalar(select(builds.c.read_at))

    sometimes.away = True
    began = time.time()
    log.read(key)
    eventually(lambda: sometimes.refused)
    assert read_at() is None
    sometimes.away = False
    log.begin(LoggedDownload("b" * 64))
    assert began <= eventually(read_at) <= time.time()
    assert [row.content_key for row in rows(catalog)] == ["b" * 64]


def test_a_download_that_goes_on_after_its_end_is_under_way_again(
    catalog: Catalog, log: DownloadLog
) -> None:
    download = LoggedDownload("a" * 64)
    log.begin(download)
    log.end(download, 100)
    (row,) = eventually(lambda: [row for row in rows(catalog) if row.ended_at])
    log.go_on(download)
    (row,) = eventually(lambda: [row for row in rows(catalog) if not row.ended_at])
    assert row.bytes == 100
    log.end(download, 123)
    (row,) = eventually(lambda: [row for row in rows(catalog) if row.ended_at])
    assert (row.bytes, row.started_at) == (123, download.started_at)
