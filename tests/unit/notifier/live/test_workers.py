"""Who works, and why something waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Row

from datamill_builder.catalog.overview import Work
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.views import DatasetView
from datamill_notifier.live import waiting, workers
from datamill_notifier.live.workers import Hand

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


def held(kind: TaskKind, owner: str, subject: str = "key", index: int = 0) -> Work:
    return Work(kind, subject, index, TaskState.LEASED, owner * 32, 1, None)


def pending(kind: TaskKind, error: str | None = None) -> Work:
    return Work(kind, "id", 0, TaskState.PENDING, None, 0, error)


def test_builders_are_called_by_their_hosts_as_far_as_that_is_clear() -> None:
    rows = [builder("a", "one"), builder("b", "two"), builder("c", "two")]
    rows.append(builder("d", "one", stopped=True))
    assert list(workers.labels(rows).values()) == [
        "one",
        "two (bbbbbbbb)",
        "two (cccccccc)",
        "one (dddddddd)",
    ]
    assert workers.label("e" * 32, workers.labels(rows)) == "builder eeeeeeee"
    assert workers.label(None, {}) == "builder ?"


def test_who_does_what_for_a_build() -> None:
    work = [held(TaskKind.SHARD, "a", index=index) for index in range(14)]
    work += [held(TaskKind.SHARD, "b", index=20), held(TaskKind.PACK, "b", "other")]
    work.append(held(TaskKind.RESOLVE, "b", "id"))
    known = {"a" * 32: "one", "b" * 32: "two"}
    assert workers.hands(work, ["key", "id"], known) == [
        Hand("one", "shards 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"),
        Hand("two", "prepares a request"),
        Hand("two", "shard 20"),
    ]
    assert workers.hands(work, ["nothing"], known) == []


def test_builders_and_those_that_only_their_work_tells_of() -> None:
    rows = [
        builder("a", "one"),
        builder("b", "two", seen_secs_ago=workers.SILENT_SECS + 1),
        builder("c", "three", seen_secs_ago=9999, stopped=True),
    ]
    work = [held(TaskKind.SHARD, "a"), held(TaskKind.PLAN, "a"), held(TaskKind.SHARD, "z")]
    one, two, three, unknown = workers.builders(rows, work, NOW)
    assert (one.shards, one.other_work, one.silent) == (1, ["lists source items"], False)
    assert (two.shards, two.silent, two.stopped) == (0, True, False)
    assert (three.silent, three.stopped) == (False, True)
    assert (unknown.name, unknown.host, unknown.shards) == ("z" * 32, "", 1)


def view(ahead: int = 0, shards: int | None = None, done: int = 0) -> DatasetView:
    build = None if shards is None else SimpleNamespace(shards=shards)
    fields = {
        "dataset_id": "id",
        "dataset": SimpleNamespace(content_key="key"),
        "build": build,
        "ahead": ahead,
        "shards_done": done,
    }
    return cast(DatasetView, SimpleNamespace(**fields))


def test_why_something_waits() -> None:
    known = {"a" * 32: "gpu-7"}

    def said(task: Work | None, ahead: int = 0, run: bool = True) -> str:
        return waiting.why(view(ahead), [task] if task else [], known, run)

    assert said(held(TaskKind.PLAN, "a")).endswith("cut into shards, by gpu-7")
    assert said(held(TaskKind.RESOLVE, "a", "id")).endswith("checked, by gpu-7")
    assert said(pending(TaskKind.RESOLVE)) == "no builder has taken the request yet"
    assert said(pending(TaskKind.PLAN), ahead=1).endswith("; 1 build began before it")
    assert said(pending(TaskKind.PLAN), ahead=1200).endswith("; 1,200 builds began before it")
    assert said(pending(TaskKind.RESOLVE), run=False).endswith("no builder is known to run")
    assert said(pending(TaskKind.RESOLVE, "no space is left: disk")) == "no space is left: disk"
    assert said(None) == "it is about to be taken"


def test_why_a_build_stands_still() -> None:
    assert waiting.stalled(view(shards=4), in_work=True) == ""
    assert waiting.stalled(view(shards=4, done=4), in_work=False).startswith("its shards are done")
    assert "busy with other builds; 2 builds" in waiting.stalled(view(2, 4), in_work=False)
    assert "no worker has taken" in waiting.stalled(view(0, 4), in_work=False)
