"""Fixtures for tests of the builder's parts: a real catalog, a real store, processes to kill."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from datamill_builder.catalog import Catalog, schema
from datamill_builder.store import Store
from tests.unit.builder.forker import Forker
from tests.unit.builder.life import Life


@pytest.fixture(scope="session")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """Started with the first test, so that its imports are done when a test needs it."""
    with Forker(tmp_path_factory.mktemp("forker")) as running:
        yield running


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder where syncing costs nothing, where there is one: no test cuts the power."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def shared_catalog(memory: Path) -> Iterator[Catalog]:
    """One catalog for all: making its tables takes longer than most tests."""
    opened = Catalog(f"sqlite:///{memory / 'shared.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def catalog_url(memory: Path, catalog: Catalog) -> str:
    """The address of `catalog`, for other processes."""
    return f"sqlite:///{memory / 'shared.sqlite'}"


@pytest.fixture
def catalog(shared_catalog: Catalog) -> Iterator[Catalog]:
    """A catalog in which nothing ever happened."""
    yield shared_catalog
    with shared_catalog.write() as change:
        for table in reversed(schema.metadata.sorted_tables):
            if table is not schema.meta:
                change.connection.execute(delete(table))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def life(catalog: Catalog) -> Life:
    return Life(catalog)
