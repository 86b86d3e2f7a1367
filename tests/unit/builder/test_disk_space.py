"""Holding back work that found the disk full, and telling that from other trouble."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from datamill.errors import DatamillError
from datamill.events import Reason
from datamill_builder import disk_space
from datamill_builder.catalog import CatalogFull, CatalogUnavailable
from datamill_builder.catalog.states import TaskKind
from datamill_builder.disk_space import DiskSpace, is_full
from datamill_builder.handlers.environments import EnvironmentFailed
from datamill_builder.handlers.process import HandlerFailed
from datamill_builder.handlers.sources import SourceUnavailable
from tests.unit.builder.waiting import until

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (FULL, True),
        (OSError(errno.EDQUOT, "quota"), True),
        (OSError(errno.EIO, "broken"), False),
        (HandlerFailed(Reason.HANDLER_ERROR, "it said so", errno=errno.ENOSPC), True),
        # A message is a handler's own words: those of a config may be in it.
        (HandlerFailed(Reason.INVALID_CONFIG, os.strerror(errno.ENOSPC)), False),
        (CatalogFull(), True),
        (CatalogUnavailable(), False),
        (caused(ValueError("an open writing handle"), FULL), True),
        (
            caused(EnvironmentFailed(), SourceUnavailable("uv pip: No space left on device (28)")),
            True,
        ),
        (SourceUnavailable("uv pip: no such package"), False),
        (DatamillError("anything"), False),
    ],
)
def test_what_a_full_disk_looks_like(error: Exception, full: bool) -> None:
    assert is_full(error) is full


class Disk:
    """A disk with as much room as a test says."""

    def __init__(self) -> None:
        self.free = 10_000_000
        self.now = 1000.0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(disk_space, "free_bytes", lambda _folder: disk.free)
    monkeypatch.setattr(disk_space.time, "monotonic", lambda: disk.now)
    return disk


@pytest.fixture
def space(tmp_path: Path, disk: Disk) -> DiskSpace:
    return DiskSpace(tmp_path)


def test_only_the_kind_that_found_no_room_is_held_back(space: DiskSpace) -> None:
    space.found_full(TaskKind.PACK, FULL)
    assert space.holds_back(TaskKind.PACK)
    assert not space.holds_back(TaskKind.RESOLVE)


def test_more_room_is_worth_a_trial_at_once(space: DiskSpace, disk: Disk) -> None:
    space.found_full(TaskKind.PACK, FULL)
    disk.free += 4096
    assert space.holds_back(TaskKind.PACK), "that is nothing"
    disk.free += 2_000_000
    assert not space.holds_back(TaskKind.PACK)


def test_trials_become_rarer_until_something_fits(space: DiskSpace, disk: Disk) -> None:
    pauses = []
    for _ in range(10):
        space.found_full(TaskKind.SHARD, FULL)
        began = disk.now
        while space.holds_back(TaskKind.SHARD):
            disk.now += 0.5
        pauses.append(disk.now - began)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    space.found_room(TaskKind.SHARD)
    assert not space.holds_back(TaskKind.SHARD)
    space.found_full(TaskKind.SHARD, FULL)
    disk.now += 1
    assert not space.holds_back(TaskKind.SHARD), "it begins anew"


def test_who_waits_goes_on_when_there_is_room(space: DiskSpace, disk: Disk) -> None:
    space.found_full(TaskKind.SHARD, FULL)
    went_on: list[bool] = []
    waiting = threading.Thread(target=lambda: went_on.append(space.wait(TaskKind.SHARD)))
    waiting.start()
    assert not went_on
    disk.free *= 2
    until(lambda: went_on == [True])
    waiting.join()


def test_nobody_waits_in_a_builder_that_stops(space: DiskSpace) -> None:
    space.found_full(TaskKind.SHARD, FULL)
    space.stop()
    assert space.wait(TaskKind.SHARD) is False
    assert space.wait(TaskKind.PACK) is False
