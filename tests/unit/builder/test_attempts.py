"""What comes of an attempt, whatever happens in it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from datamill.events import Reason
from datamill_builder.attempts import Attempts
from datamill_builder.catalog import Catalog, PatientChanges, tasks
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.tasks import Claim
from datamill_builder.disk_space import DiskSpace
from datamill_builder.handlers.process import HandlerDied, HandlerFailed, HandlerStopped
from datamill_builder.leases import Leases
from tests.unit.builder.life import KEY, Life, request

MOST = 2


@pytest.fixture
def attempts(catalog: Catalog, tmp_path: Path) -> Attempts:
    changes = PatientChanges(catalog)
    return Attempts(changes, Leases(catalog, 60.0), DiskSpace(tmp_path), MOST)


def raising(error: BaseException) -> Any:
    def work(_claim: Claim) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "state", "attempts_counted"),
    [
        (HandlerStopped(), TaskState.PENDING, 0),
        (OSError(errno.ENOSPC, "full"), TaskState.PENDING, 0),
        (OSError(errno.EIO, "broken"), TaskState.PENDING, 1),
        (HandlerDied("killed"), TaskState.PENDING, 1),
        (HandlerFailed(Reason.BAD_DATA, "no items"), TaskState.FAILED, 1),
        (RuntimeError("a bug"), TaskState.FAILED, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_end_is_settled(
    life: Life, attempts: Attempts, error: BaseException, state: TaskState, attempts_counted: int
) -> None:
    life.building(request(), shards=1)
    attempts.carry_out(life.claim(TaskKind.SHARD, KEY), raising(error))
    task = life.task(TaskKind.SHARD, KEY)
    assert (task.state, task.attempts) == (state, attempts_counted)


def test_the_last_attempt_fails_the_build_and_says_how_often(
    life: Life, attempts: Attempts
) -> None:
    life.building(request(), shards=1)
    for _ in range(MOST):
        attempts.carry_out(life.claim(TaskKind.SHARD, KEY), raising(HandlerDied("killed")))
    (failed,) = [event for event in life.told() if event["event"] == "failed"]
    assert failed["reason"] == "handler_error"
    assert "killed (2 times on the same shard)" in failed["message"]


def test_work_that_takes_its_owner_along_each_time_is_given_up(
    life: Life, catalog: Catalog, attempts: Attempts
) -> None:
    """Whatever it is: a build whose packing kills the builder must not do so for ever."""
    life.building(request(), shards=1)
    life.shard(0)
    begun = 0

    def work(_claim: Claim) -> None:
        nonlocal begun
        begun += 1
        with catalog.read() as connection:
            leased = tasks.leased(connection)
        with catalog.write() as change:  # somebody finds that the owner is gone
            tasks.take_from(change, leased)
        raise tasks.StaleFence

    for _ in range(100):
        if (TaskKind.PACK, KEY, 0) not in life.pending():
            break
        attempts.carry_out(life.claim(TaskKind.PACK, KEY), work)
    assert begun == MOST + 10
    (failed,) = [event for event in life.told() if event["event"] == "failed"]
    assert "a pack was begun 13 times and never came to an end" in failed["message"]
