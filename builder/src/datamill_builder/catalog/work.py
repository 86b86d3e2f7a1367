"""Work as people look at it: who is at what, what waits, what is tried again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, or_, select

from datamill_builder.catalog.schema import tasks
from datamill_builder.catalog.states import ACTIVE_TASKS, TaskKind, TaskState
from datamill_builder.catalog.tasks import NO_SPACE

_AT_A_TIME = 500
"""Databases limit how many values one statement may name."""


@dataclass(frozen=True)
class Task:
    """One piece of work. `owner`: the name of the builder that is at it, or was last."""

    kind: TaskKind
    subject: str
    index: int
    state: TaskState
    owner: str | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class Work:
    """All that is to be done yet for a dataset id or a build."""

    in_hand: Sequence[Task] = ()
    pending: Mapping[TaskKind, int] = field(default_factory=dict)
    errors: Mapping[TaskKind, str] = field(default_factory=dict)
    """What one of those of a kind said that are tried again."""
    no_space: str | None = None
    """What one of those said that wait for room on a disk."""

    def is_in_hand(self, kind: TaskKind) -> bool:
        """Return whether somebody is at such a task."""
        return any(task.kind is kind for task in self.in_hand)

    @property
    def shards_in_hand(self) -> int:
        """How many shards are being made."""
        return sum(task.kind is TaskKind.SHARD for task in self.in_hand)


def in_hand(connection: Connection) -> list[Task]:
    """Return all tasks that are being done: not more than there are workers."""
    return _tasks(connection, tasks.c.state == TaskState.LEASED)


def shards_of_note(connection: Connection, content_key: str) -> dict[int, Task]:
    """Return the tasks of a build's shards that are being done, are tried again, or have failed.

    By number. All others, of which there may be very many, are done or wait.
    """
    being_done = tasks.c.state == TaskState.LEASED
    went_wrong = and_(tasks.c.state != TaskState.DONE, tasks.c.error.is_not(None))
    which = and_(
        tasks.c.kind == TaskKind.SHARD,
        tasks.c.subject == content_key,
        or_(being_done, went_wrong, tasks.c.state == TaskState.FAILED),
    )
    return {task.index: task for task in _tasks(connection, which)}


def work_on(
    connection: Connection, subjects: Iterable[str], busy: Sequence[Task]
) -> dict[str, Work]:
    """Return the work on each of some dataset ids and content keys, where there is any.

    `busy`: the tasks of `in_hand`. Others are counted, not read: a build may have very many.
    """
    named = sorted(set(subjects))
    held: dict[str, list[Task]] = defaultdict(list)
    for task in busy:
        held[task.subject].append(task)
    rows: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in _counted(connection, named):
        rows[row.subject].append(row)
    there = [subject for subject in named if subject in held or subject in rows]
    return {subject: _work(held[subject], rows[subject]) for subject in there}


def _work(held: Sequence[Task], rows: Sequence[Row[Any]]) -> Work:
    return Work(
        held,
        {TaskKind(row.kind): row.pending for row in rows if row.pending},
        {TaskKind(row.kind): row.error for row in rows if row.error},
        next((row.no_space for row in rows if row.no_space), None),
    )


def _counted(connection: Connection, subjects: Sequence[str]) -> Iterator[Row[Any]]:
    table = tasks.c
    full = table.error.startswith(NO_SPACE)
    query: Select[Any] = select(
        table.subject,
        table.kind,
        func.sum(case((table.state == TaskState.PENDING, 1), else_=0)).label("pending"),
        func.max(case((~full, table.error))).label("error"),
        func.max(case((full, table.error))).label("no_space"),
    ).where(table.state.in_(ACTIVE_TASKS), table.kind.in_(list(TaskKind)))
    for begin in range(0, len(subjects), _AT_A_TIME):
        some = subjects[begin : begin + _AT_A_TIME]
        grouped = query.where(table.subject.in_(some)).group_by(table.subject, table.kind)
        yield from connection.execute(grouped)


def _tasks(connection: Connection, which: ColumnElement[bool]) -> list[Task]:
    table = tasks.c
    rows = connection.execute(
        select(
            table.kind,
            table.subject,
            table.number,
            table.state,
            table.owner,
            table.attempts,
            table.error,
        )
        .where(which)
        .order_by(table.subject, table.number)
    )
    return [
        Task(
            TaskKind(row.kind),
            row.subject,
            row.number,
            TaskState(row.state),
            row.owner,
            row.attempts,
            row.error,
        )
        for row in rows
    ]
