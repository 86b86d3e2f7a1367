"""Who works, and on what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Row

from datamill_builder.catalog.builders import SILENT_SECS, label, labels
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.work import Task
from datamill_notifier import workers
from datamill_notifier.workers import Hand

NOW = 1e9


def builder(name: str, host: str, seen_secs_ago: float = 1, stopped: bool = False) -> Row[Any]:
    row = SimpleNamespace(
        name=name * 32,
        host=host,
        version="0.1.0",
        workers=4,
        started_at=NOW - 3600,
        seen_at=NOW - seen_secs_ago,
        stopped_at=NOW - 1 if stopped else None,
    )
    return cast(Row[Any], row)


def held(kind: TaskKind, owner: str, subject: str = "key", index: int = 0) -> Task:
    return Task(kind, subject, index, TaskState.LEASED, owner * 32, 1, None)


def test_builders_are_called_by_their_hosts_as_far_as_that_is_clear() -> None:
    rows = [builder("a", "one"), builder("b", "two"), builder("c", "two")]
    rows.append(builder("d", "one", stopped=True))
    assert list(labels(rows).values()) == [
        "one",
        "two (bbbbbbbb)",
        "two (cccccccc)",
        "one (dddddddd)",
    ]
    assert label("e" * 32, labels(rows)) == "builder eeeeeeee"
    assert label(None, {}) == "builder ?"


def test_who_does_what_for_a_build() -> None:
    work = [held(TaskKind.SHARD, "a", index=index) for index in range(14)]
    work += [held(TaskKind.SHARD, "b", index=20), held(TaskKind.RESOLVE, "b", "id")]
    known = {"a" * 32: "one", "b" * 32: "two"}
    assert workers.hands(work, known) == [
        Hand("one", "shards 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"),
        Hand("two", "prepares a request"),
        Hand("two", "shard 20"),
    ]
    assert workers.hands([], known) == []


def test_builders_and_those_that_only_their_work_tells_of() -> None:
    rows = [
        builder("a", "one"),
        builder("b", "two", seen_secs_ago=SILENT_SECS + 1),
        builder("c", "three", seen_secs_ago=9999, stopped=True),
    ]
    work = [held(TaskKind.SHARD, "a"), held(TaskKind.PLAN, "a"), held(TaskKind.SHARD, "z")]
    one, two, three, unknown = workers.builders(rows, work, NOW)
    assert (one.shards, one.other_work, one.silent) == (1, ["lists source items"], False)
    assert (two.shards, two.silent, two.stopped) == (0, True, False)
    assert (three.silent, three.stopped) == (False, True)
    assert (unknown.name, unknown.host, unknown.shards) == ("z" * 32, "", 1)
