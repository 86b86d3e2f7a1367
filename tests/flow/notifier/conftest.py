"""A notifier with a catalog and a store of its own, filled step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datamill_builder.catalog import Catalog
from datamill_builder.store import Store
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps
from tests.support.notifier import NotifierProcess


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the tests of a module."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def catalog(home: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def notifier(home: Path) -> Iterator[NotifierProcess]:
    """A notifier without a broker."""
    process = NotifierProcess(home).start()
    yield process
    assert process.stop() == 0, process.log()
    assert "not foreseen" not in process.log()
    assert "Traceback" not in process.log()


@pytest.fixture(scope="module")
def steps(home: Path, catalog: Catalog) -> Callable[..., Steps]:
    """Make datasets of different content: each call takes another one to its beginning."""
    made = 0
    store = Store(home / "store")

    def make(**fields: Any) -> Steps:
        nonlocal made
        made += 1
        name = fields.get("dataset_name", "toy")
        payloads = [[example(number=made, text=b"x" * 5000)], [example(number=0, text=b"y")]]
        archive = fields.pop("archive", None) or pack(
            {"train": payloads},
            dataset_name=name,
            content_key=f"{made:064x}",
            extra={"preview.jpg": b"\xff\xd8 a picture \xff\xd9"},
        )
        return Steps(catalog, store, {"number": made}, archive=archive, **fields)

    return make
