"""This process as a trainer of the test's service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill.sessions import close_sessions


@pytest.fixture
def trainer_cache(
    broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Make `import datamill` here talk to the test's broker; give the cache's folder."""
    monkeypatch.setenv("DATAMILL_BROKER_URL", broker_url)
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "trainer"))
    monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DATAMILL_URL", raising=False)
    yield tmp_path / "cache"
    close_sessions()
