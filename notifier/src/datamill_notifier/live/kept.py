"""What takes long to find out is kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")

_SHARE = 0.05
"""What of a core finding it out may take, at most."""
_LEAST_SECS = 1.0


class Kept(Generic[Found]):
    """A value that is found out anew, by one thread at a time, when the last one is too old.

    The longer it takes, the longer it is kept. Others are given the last one meanwhile.
    """

    def __init__(self, find: Callable[[], Found]) -> None:
        self._find = find
        self._finding = threading.Lock()
        self._found: tuple[Found, float] | None = None
        """The value, and until when it is good, on the monotonic clock."""

    def get(self) -> Found:
        """Return the value. Blocks where there is none yet, or it is too old."""
        found = self._found
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        if not self._finding.acquire(blocking=found is None):
            assert found is not None
            return found[0]
        try:
            if self._found is not None and self._found is not found:
                return self._found[0]  # somebody else found it while this one waited
            began = time.monotonic()
            value = self._find()
            ended = time.monotonic()
            self._found = value, ended + max(_LEAST_SECS, (ended - began) / _SHARE)
            return value
        finally:
            self._finding.release()
