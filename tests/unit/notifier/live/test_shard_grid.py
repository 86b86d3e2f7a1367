"""The squares of a build."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Row

from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.work import Task
from datamill_notifier.live.shard_grid import ShardState, cells, shard_states


def shard(number: int, done: bool = False) -> Row[Any]:
    made = {"records": 1200, "bytes": 5_000_000, "secs": 3.25, "sha256": "0" * 64}
    empty = dict.fromkeys(made)
    row = SimpleNamespace(number=number, split="train", **(made if done else empty))
    return cast(Row[Any], row)


def task(number: int, state: TaskState, attempts: int = 1, error: str | None = None) -> Task:
    owner = "a" * 32 if state is TaskState.LEASED else None
    return Task(TaskKind.SHARD, "k", number, state, owner, attempts, error)


def test_each_shard_says_where_it_stands() -> None:
    shards = [shard(0, done=True), shard(1), shard(2), shard(3), shard(4)]
    work = {
        0: task(0, TaskState.DONE),
        1: task(1, TaskState.LEASED, attempts=2),
        2: task(2, TaskState.PENDING, error="the handler died"),
        3: task(3, TaskState.FAILED, error="no"),
    }
    assert [str(state) for state in shard_states(shards, work)] == [
        "done",
        "in-hand",
        "waiting",
        "broken",
        "waiting",
    ]
    titles = [cell.title for cell in cells(shards, work, {"a" * 32: "gpu-7"})]
    assert titles == [
        "shard 0 of train, 1,200 records, 5.0 MB, made in 3.2 s",
        "shard 1 of train, in work on gpu-7, attempt 2",
        "shard 2 of train, pending, the handler died",
        "shard 3 of train, failed, no",
        "shard 4 of train",
    ]


def test_very_many_share_squares_that_show_what_wants_to_be_seen() -> None:
    shards = [shard(number, done=number < 4000) for number in range(10_000)]
    work = {9_999: task(9_999, TaskState.FAILED), 5: task(5, TaskState.DONE)}
    found = cells(shards, work, {})
    assert len(found) == 1000
    assert {cell.state for cell in found[:400]} == {ShardState.DONE}
    assert {cell.state for cell in found[400:-1]} == {ShardState.WAITING}
    assert found[-1].state is ShardState.FAILED
    assert found[0].title == "shards 0 to 9: 10 of 10 done"
    assert len(cells(shards[:1001], {}, {})) == 501
    assert cells([], {}, {}) == []
