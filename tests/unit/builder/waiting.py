"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def until(condition: Callable[[], object], timeout_secs: float = 20.0) -> None:
    """Return as soon as a condition holds; fail if it does not in time."""
    deadline = time.monotonic() + timeout_secs
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.005)


def told(file: Path) -> str:
    """Return what a process writes into a file, once it is there."""
    until(file.exists)
    return file.read_text()
