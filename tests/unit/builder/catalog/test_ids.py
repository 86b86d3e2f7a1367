"""Ids by how they begin, on both databases, however many there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.ids import contents_that_begin, datasets_that_begin
from datamill_builder.catalog.schema import builds, datasets
from tests.support.postgresql import PostgresqlServer, postgresql

__all__ = ["postgresql"]

MANY = 12_000
"""More than any list holds."""
KEY, ORPHAN = "cafe" + "1" * 60, "cafe" + "f" * 60
LAST = "f" * 64


@pytest.fixture(params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    """A catalog of many datasets."""
    address = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    if request.param == "postgresql":
        running: PostgresqlServer = request.getfixturevalue("postgresql")
        address = running.add_database()
    catalog = Catalog(address)
    with catalog.write() as change:
        change.connection.execute(insert(builds), [build(KEY), build(ORPHAN)])
        rows = [dataset(f"{number:06x}" + "0" * 58, None, number) for number in range(MANY)]
        rows += [dataset("fff000" + "0" * 58, KEY, 2), dataset(LAST, KEY, 1)]
        change.connection.execute(insert(datasets), rows)
    yield catalog
    catalog.close()


def build(key: str) -> dict[str, Any]:
    return {
        "content_key": key,
        "dataset_name": "toy",
        "state": "ready",
        "epoch": 1,
        "recipe": "{}",
        "created_at": time.time(),
    }


def dataset(dataset_id: str, key: str | None, created_at: float) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "dataset_name": "toy",
        "handler_version": "1.0.0",
        "config": "{}",
        "state": "resolved" if key else "resolving",
        "content_key": key,
        "waiting": 0,
        "created_at": created_at,
        "asked_at": created_at,
    }


def test_ids_that_begin_so(full: Catalog) -> None:
    with full.read() as connection:

        def found(prefix: str, limit: int = 100) -> list[str]:
            return list(datasets_that_begin(connection, prefix, limit))

        assert found("000000") == ["0" * 64], "the oldest, too"
        assert found("00000a") == ["00000a" + "0" * 58]
        assert found("fff") == ["fff000" + "0" * 58, LAST]
        assert found(LAST) == [LAST]
        assert found("a") == []
        assert len(found("0", 7)) == 7
        assert datasets_that_begin(connection, "000001", 9) == {"000001" + "0" * 58: None}
        assert datasets_that_begin(connection, "fffff", 9) == {LAST: KEY}


def test_content_keys_that_begin_so(full: Catalog) -> None:
    with full.read() as connection:
        both = contents_that_begin(connection, "cafe", 100)
        assert list(both) == [KEY, ORPHAN]
        assert both[KEY] == [LAST, "fff000" + "0" * 58], "the first that was asked for first"
        assert both[ORPHAN] == []
        assert list(contents_that_begin(connection, "cafef", 100)) == [ORPHAN]
        assert contents_that_begin(connection, "0", 100) == {}
