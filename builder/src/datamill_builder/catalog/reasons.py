"""Why something is not under way: what the tasks of a dataset say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, func, select

from datamill_builder.catalog.schema import tasks
from datamill_builder.catalog.states import ACTIVE_TASKS, TaskKind, TaskState

_AT_A_TIME = 500


@dataclass(frozen=True)
class Work:
    """The work on one dataset id or content key: task states by kind, and what went wrong last."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    error: str | None = None

    def has(self, kind: TaskKind, state: TaskState) -> bool:
        """Return whether there is such a task."""
        return self.counts.get((kind, state), 0) > 0

    def count(self, kind: TaskKind, state: TaskState) -> int:
        """Return how many such tasks there are."""
        return self.counts.get((kind, state), 0)


def work_on(connection: Connection, subjects: Iterable[str]) -> dict[str, Work]:
    """Return the work on each of some dataset ids and content keys, where there is any."""
    counts: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    errors: dict[str, str] = {}
    named = sorted(set(subjects))
    for begin in range(0, len(named), _AT_A_TIME):
        some = named[begin : begin + _AT_A_TIME]
        for row in _counted(connection, some):
            counts[row.subject][row.kind, row.state] = row.count_of
            if row.state in ACTIVE_TASKS and row.error:
                errors[row.subject] = row.error
    return {subject: Work(found, errors.get(subject)) for subject, found in counts.items()}


def _counted(connection: Connection, subjects: list[str]) -> list[Row[Any]]:
    columns = tasks.c.subject, tasks.c.kind, tasks.c.state
    query = (
        select(*columns, func.count().label("count_of"), func.max(tasks.c.error).label("error"))
        .where(tasks.c.subject.in_(subjects))
        .group_by(*columns)
    )
    return list(connection.execute(query))


def why(work: Work, ahead: int, *, builders: int | None) -> str | None:
    """Return why nothing can be seen of it yet; None where its shards are being made.

    `builders`: how many show signs of life; None where that is not known.
    """
    if work.error:
        return f"is tried again after: {_one_line(work.error)}"
    if work.has(TaskKind.PACK, TaskState.LEASED):
        return "its archive is being packed"
    if work.has(TaskKind.SHARD, TaskState.LEASED):
        return None
    if work.has(TaskKind.RESOLVE, TaskState.LEASED):
        return "its handler is being asked; the environment is made first, where it is not there"
    if work.has(TaskKind.PLAN, TaskState.LEASED):
        return "its source items are being listed"
    if builders == 0:
        return "no builder runs"
    if ahead:
        return f"{ahead} build{'s' * (ahead != 1)} began before it, and all workers are busy"
    return "waits for a free worker"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
