"""Why something waits, in words."""

from __future__ import annotations

from typing import Any

from datamill_builder.catalog.reasons import trouble, why
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.work import Task, Work

KNOWN = {"a" * 32: "gpu-7"}


def held(kind: TaskKind, **more: Any) -> Work:
    return Work([Task(kind, "it", 0, TaskState.LEASED, "a" * 32, 1, None)], **more)


def pending(kind: TaskKind, **more: Any) -> Work:
    return Work(pending={kind: 1}, **more)


def said(work: Work, ahead: int = 0, run: bool = True) -> str | None:
    return why(work, KNOWN, ahead, builders_run=run)


def test_who_is_at_it_is_named() -> None:
    assert said(held(TaskKind.RESOLVE)) == (
        "its handler's environment is made ready and its options are checked, by gpu-7"
    )
    assert said(held(TaskKind.PLAN)) == (
        "its source items are listed and cut into shards, by gpu-7"
    )
    assert said(held(TaskKind.PACK)) == "its archive is being packed, by gpu-7"
    assert said(held(TaskKind.SHARD)) is None, "that can be seen"


def test_what_nobody_has_begun() -> None:
    assert said(pending(TaskKind.RESOLVE)) == "no builder has taken the request yet"
    assert said(pending(TaskKind.PLAN)) == "no builder has begun to list its source items"
    assert said(pending(TaskKind.SHARD)) == "no worker has taken a shard of it just now"
    assert said(pending(TaskKind.PACK)) == "its shards are done; the archive is about to be packed"
    assert said(Work()) == "it is about to be taken"


def test_how_many_builds_began_before_it() -> None:
    assert said(pending(TaskKind.PLAN), 1) == (
        "no builder has begun to list its source items; 1 build began before it"
    )
    assert said(pending(TaskKind.SHARD), 1200) == (
        "all workers are busy with other builds; 1,200 builds began before it"
    )


def test_where_no_builder_runs_nobody_is_waited_for() -> None:
    for kind in TaskKind:
        text = said(pending(kind), 3, run=False)
        assert text is not None
        assert text.endswith(": no builder is known to run")


def test_what_is_tried_again_says_what_went_wrong() -> None:
    for kind, it in (
        (TaskKind.RESOLVE, "it"),
        (TaskKind.PLAN, "its plan"),
        (TaskKind.SHARD, "a shard"),
        (TaskKind.PACK, "its archive"),
    ):
        again = pending(kind, errors={kind: "ValueError:\n  no"})
        assert said(again) == trouble(again) == f"{it} is tried again after: ValueError: no"
    both = held(TaskKind.PLAN, errors={TaskKind.PLAN: "no"})
    assert said(both) == (
        "its plan is tried again after: no; "
        "its source items are listed and cut into shards, by gpu-7"
    )
    assert said(held(TaskKind.SHARD, errors={TaskKind.SHARD: "no"})) == (
        "a shard is tried again after: no"
    )
    assert said(again, run=False) == f"{trouble(again)}; no builder is known to run"


def test_what_waits_for_room_says_so_first() -> None:
    full = pending(TaskKind.SHARD, errors={TaskKind.SHARD: "no"}, no_space="no space is left: disk")
    assert said(full, 5) == trouble(full) == "no space is left: disk"
    assert trouble(held(TaskKind.SHARD)) is None
