"""One environment for all tests of handler processes: making it takes longer than they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datamill_builder.catalog import Catalog
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.handlers.sources import WheelFolder
from datamill_builder.store import Store
from tests.processes.builder_handlers import trouble
from tests.support.builder_fixtures import (
    catalog,
    catalog_url,
    forker,
    life,
    memory,
    shared_catalog,
    store,
)
from tests.support.wheels import make_wheel

__all__ = [
    "catalog",
    "catalog_url",
    "forker",
    "life",
    "memory",
    "shared_catalog",
    "store",
]

Start = Callable[..., HandlerProcess]


@pytest.fixture(scope="session")
def handler_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the handlers of `trouble.py`."""
    home = tmp_path_factory.mktemp("handlers")
    source = Path(trouble.__file__).read_text()
    points = {"trouble": "trouble:Trouble", "classic": "trouble:Classic"}
    make_wheel(home / "wheels", "trouble", "1.0.0", {"trouble.py": source}, points)
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    sources = [WheelFolder(home / "wheels")]
    environments = Environments(home / "environments", catalog, Store(home / "store"), [*sources])
    python = environments.python(environments.resolve("trouble", "1.0.0"))
    catalog.close()
    return python


@pytest.fixture
def raw_root(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    (root / "trouble").mkdir(parents=True)
    return root


@pytest.fixture(scope="session")
def start(handler_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return a handler process: the one of the test before, where that has survived it."""
    running: list[HandlerProcess] = []

    def start_one() -> HandlerProcess:
        if running and running[-1].alive:
            return running[-1]
        for dead in running:
            dead.close()
        workdir = tmp_path_factory.mktemp("work")
        running[:] = [HandlerProcess(handler_python, workdir, "trouble 1.0.0")]
        return running[0]

    yield start_one
    for process in running:
        process.close()


@pytest.fixture
def opened(start: Start, raw_root: Path) -> HandlerProcess:
    """A process with the handler that makes trouble on demand."""
    process = start()
    open_handler(process, raw_root)
    return process


def open_handler(
    process: HandlerProcess, raw_root: Path, kind: str = "Trouble", **config: Any
) -> Any:
    return process.call(
        "open",
        entry_point=f"trouble:{kind}",
        config=config,
        raw_root=str(raw_root),
        raw=None,
        dataset_name="trouble",
    )
