"""Fixtures of the builder's unit tests: a real catalog, a real store, processes to kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill_builder.catalog import Catalog
from datamill_builder.store import Store
from tests.unit.builder.forker import Forker
from tests.unit.builder.life import Life


@pytest.fixture(scope="session", autouse=True)
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    """Started with the first test, so that its imports are done when a test needs it."""
    with Forker(tmp_path_factory.mktemp("forker")) as running:
        yield running


@pytest.fixture
def catalog_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.sqlite'}"


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    opened = Catalog(catalog_url)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def life(catalog: Catalog) -> Life:
    return Life(catalog)
