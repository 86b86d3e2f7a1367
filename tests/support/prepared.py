"""A home for a builder, whose handler environment is there already."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datamill_builder.catalog import Catalog
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.sources import WheelFolder
from datamill_builder.store import Store
from tests.support import mischief
from tests.support.toy import SOURCE, make_toy, write_items


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the toy handler was installed: that takes longer than most tests."""
    return prepare(tmp_path_factory.mktemp("prepared") / "home")


def prepare(home: Path, source: str = SOURCE) -> Path:
    """Install the toy handler, or one made from it, into a home."""
    make_toy(home / "wheels", source=source)
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    sources = [WheelFolder(home / "wheels")]
    environments = Environments(home / "environments", catalog, Store(home / "store"), [*sources])
    environments.python(environments.resolve("toy", "1.0.0"))
    catalog.close()
    return home


@pytest.fixture(scope="session")
def prepared_mischief(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with the toy handler that makes mischief."""
    return prepare(tmp_path_factory.mktemp("mischief") / "home", mischief.SOURCE)


@pytest.fixture
def mischief_home(prepared_mischief: Path, tmp_path: Path) -> Path:
    """A home of the test's own, without source items, with the handler that makes mischief."""
    home = tmp_path / "home"
    shutil.copytree(prepared_mischief, home, symlinks=True)
    return home


@pytest.fixture
def home(prepared_home: Path, tmp_path: Path) -> Path:
    """A home of the test's own, with twenty source items for the toy handler."""
    home = tmp_path / "home"
    shutil.copytree(prepared_home, home, symlinks=True)
    write_items(home / "raw", [f"item {number}" for number in range(20)])
    return home
