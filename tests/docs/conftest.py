"""A newcomer, with a checkout after `make setup` and a home that is empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.readme import REPOSITORY
from tests.docs.session import Session


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A home that is empty, and a folder with what a checkout has after `make setup`."""
    assert list((REPOSITORY / "handlers" / "dist").glob("*.whl")), "run `make setup` first"
    checkout = tmp_path / "datamill"
    checkout.mkdir()
    for name in (".venv", "examples", "handlers", "Makefile"):
        (checkout / name).symlink_to(REPOSITORY / name)
    opened = Session(checkout, tmp_path / "home")
    yield opened
    opened.close()
