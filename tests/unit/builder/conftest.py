"""Fixtures of the builder's unit tests: a real catalog, a real store, processes to kill."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
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


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder where syncing costs nothing, where there is one: no test cuts the power."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def empty_catalog(memory: Path) -> Path:
    """A catalog to copy: making its tables takes longer than most tests."""
    file = memory / "empty.sqlite"
    Catalog(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def catalog_file(empty_catalog: Path, memory: Path) -> Iterator[Path]:
    file = memory / f"{uuid.uuid4().hex}.sqlite"
    shutil.copyfile(empty_catalog, file)
    yield file
    for left in memory.glob(f"{file.name}*"):
        left.unlink()


@pytest.fixture
def catalog_url(catalog_file: Path) -> str:
    return f"sqlite:///{catalog_file}"


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
