"""Locks that tell that a handler environment is in use.

Who uses one shares its lock, and who removes one needs it alone: neither waits long, since
nobody removes what is in use, and removing takes a moment.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_USE = ".use"
"""The end of the name of an environment's lock, beside its folder."""

BEING_MADE = ".lock"
"""The same of the lock of whoever makes it."""


class Use:
    """A share in an environment, until it is closed or this process ends."""

    def __init__(self, lock: Path) -> None:
        self._descriptor: int | None = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """Give up the share; once is enough."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Give whether nobody uses an environment; if so, nobody begins to until the end."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
