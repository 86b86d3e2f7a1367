"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(condition: Callable[[], Found], timeout_secs: float = 60.0) -> Found:
    """Return what a condition returns as soon as it is true."""
    deadline = time.monotonic() + timeout_secs
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_secs:g} s"
        time.sleep(0.02)
    return found
