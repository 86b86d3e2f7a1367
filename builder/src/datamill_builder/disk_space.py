"""A full disk: work that finds no room waits, and goes on by itself when there is room again.

It costs no attempt: nothing is wrong with the work. Each kind of work waits for itself, so that
an archive that doesn't fit keeps no small request from its answer.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datamill.errors import first_line
from datamill_builder.catalog import CatalogFull
from datamill_builder.catalog.states import TaskKind
from datamill_builder.handlers.process import HandlerFailed
from datamill_builder.handlers.tools import SourceUnavailable
from datamill_builder.store import free_bytes

log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOOK_SECS = 0.25
_GROWN_BYTES = 1024 * 1024
"""So much more room than when it was full is worth another trial at once."""
_LONGEST_PAUSE_SECS = 30.0


def is_full(error: BaseException) -> bool:
    """Return whether a full disk is the cause: here, in a handler, a tool or the catalog."""
    return any(_says_full(link) for link in _chain(error))


def _says_full(error: BaseException) -> bool:
    match error:
        case CatalogFull():
            return True
        case OSError(errno=number) | HandlerFailed(errno=number):
            return number in _FULL
        case SourceUnavailable():  # a tool's own words
            return any(os.strerror(number) in str(error) for number in _FULL)
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # Of our own code, where closing a half-written zip complains while that is handled.
        error = error.__cause__ or error.__context__


@dataclass(frozen=True)
class _Full:
    """What one kind of work found: how often in a row, how much room was left, until when."""

    times: int
    free_bytes: tuple[int, ...]
    next_trial: float


class DiskSpace:
    """Holds back kinds of work that found the disk full; for any thread.

    They are let on when there is more room than then, or for a trial now and then: a quota, or
    the disk of a database, can't be looked at.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._full: dict[TaskKind, _Full] = {}
        self._stopping = threading.Event()

    @property
    def is_short(self) -> bool:
        """Whether some work has found the disk full, and none of its kind has ended since."""
        return bool(self._full)

    def holds_back(self, kind: TaskKind) -> bool:
        """Return whether there is, most likely, no room for work of a kind."""
        full = self._full.get(kind)
        return full is not None and not self._is_worth_a_trial(full)

    def wait(self, kind: TaskKind) -> bool:
        """Return once there may be room for work of a kind; False if there is no more waiting."""
        while self.holds_back(kind):
            if self._stopping.wait(_LOOK_SECS):
                return False
        return not self._stopping.is_set()

    def found_full(self, kind: TaskKind, error: BaseException) -> None:
        """Hold back a kind of work; called when what it had written so far is gone again."""
        with self._lock:
            before = self._full.get(kind)
            times = before.times + 1 if before else 1
            pause_secs = min(_LONGEST_PAUSE_SECS, 0.5 * 2.0 ** min(times, 10))
            self._full[kind] = _Full(times, self._free_bytes(), time.monotonic() + pause_secs)
        log.warning("no space is left: %s work waits for room: %s", kind, first_line(error))

    def found_room(self, kind: TaskKind) -> None:
        """Let a kind of work go on: some of it has come to its end."""
        with self._lock:
            if self._full.pop(kind, None):
                log.info("there is room again: %s work goes on", kind)

    def stop(self) -> None:
        """Let nobody wait any more."""
        self._stopping.set()

    def _is_worth_a_trial(self, full: _Full) -> bool:
        if time.monotonic() >= full.next_trial:
            return True
        pairs = zip(self._free_bytes(), full.free_bytes, strict=True)
        return any(now > then + _GROWN_BYTES for now, then in pairs)

    def _free_bytes(self) -> tuple[int, ...]:
        return tuple(_free_bytes(folder) for folder in self._folders)


def _free_bytes(folder: Path) -> int:
    try:
        return free_bytes(folder)
    except OSError:
        return 0  # a disk that is gone has no room
