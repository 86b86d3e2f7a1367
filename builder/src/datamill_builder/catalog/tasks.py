"""Leased work: who does what, fenced.

A claim raises the task's fence. Whatever its owner writes later says `WHERE fence = mine`, so an
owner that was paused and given up finds its fence stale, and can change nothing. An owner shows
signs of life by raising `beat`; whoever watches judges by how long *it* has seen the same beat,
on its own monotonic clock, so that no two clocks are ever compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, Text, and_, case, cast, func, insert, select, update

from datamill import topology
from datamill.broker import Outbound
from datamill.errors import DatamillError
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.outbox import new_message_id
from datamill_builder.catalog.rows import insert_new
from datamill_builder.catalog.schema import builds, meta, tasks
from datamill_builder.catalog.states import TaskKind, TaskState

_LEASES_LOST = "leases_lost_total"
_KEYS = {TaskKind.SHARD: topology.SHARD_KEY, TaskKind.PACK: topology.PACK_KEY}


class StaleFence(DatamillError):
    """The work was given to another owner meanwhile; nothing of it may be published."""


@dataclass(frozen=True)
class Claim:
    """The right to do a task, until the fence moves on."""

    task_id: int
    kind: TaskKind
    subject: str
    index: int
    fence: int
    attempts: int


def ensure(change: Transaction, kind: TaskKind, subject: str, indexes: range = range(1)) -> None:
    """Make tasks pending that are new or have ended, and wake somebody up for each."""
    for index in indexes:
        row = {"kind": kind, "subject": subject, "number": index, "state": TaskState.PENDING}
        insert_new(change.connection, tasks, row)
    _put_back(change, kind, subject, indexes)


def add_many(change: Transaction, kind: TaskKind, subject: str, count: int) -> None:
    """Add `count` pending tasks that are known to be new."""
    rows = [
        {"kind": kind, "subject": subject, "number": index, "state": TaskState.PENDING}
        for index in range(count)
    ]
    change.connection.execute(insert(tasks), rows)
    for index in range(count):
        wake(change, kind, subject, index)


def _put_back(change: Transaction, kind: TaskKind, subject: str, indexes: range) -> None:
    table = tasks.c
    for index in indexes:
        change.connection.execute(
            update(tasks)
            .where(table.kind == kind, table.subject == subject, table.number == index)
            .where(table.state != TaskState.LEASED)
            .values(state=TaskState.PENDING, attempts=0, error=None)
        )
        wake(change, kind, subject, index)


def restart_unfinished(change: Transaction, kind: TaskKind, subject: str) -> int:
    """Make the failed and cancelled tasks of a subject pending again; return how many."""
    ended = (TaskState.FAILED, TaskState.CANCELLED)
    indexes = change.connection.scalars(
        select(tasks.c.number).where(
            tasks.c.kind == kind, tasks.c.subject == subject, tasks.c.state.in_(ended)
        )
    ).all()
    for index in indexes:
        _put_back(change, kind, subject, range(index, index + 1))
    return len(indexes)


def wake(change: Transaction, kind: TaskKind, subject: str, index: int = 0) -> None:
    """Publish that there is work: a hint, the task itself is in the catalog."""
    key = _KEYS.get(kind, topology.BUILD_KEY)
    body = json.dumps({"task": kind, "subject": subject, "index": index}).encode()
    change.publish(Outbound(topology.WORK_EXCHANGE, key, body, new_message_id(), mandatory=True))


def claim(
    change: Transaction, kind: TaskKind, subject: str, index: int, owner: str
) -> Claim | None:
    """Claim one task; None where it is not pending."""
    return _claim(
        change,
        and_(tasks.c.kind == kind, tasks.c.subject == subject, tasks.c.number == index),
        owner,
    )


def claim_fair_shard(change: Transaction, owner: str) -> Claim | None:
    """Claim a shard of the build that has the fewest shards in work; None where none is pending.

    So a small build gets workers while a large one runs; among equals the older build is first.
    """
    table = tasks.c
    leased = func.sum(case((table.state == TaskState.LEASED, 1), else_=0))
    pending = func.min(case((table.state == TaskState.PENDING, table.number)))
    query = (
        select(table.subject, pending.label("number"))
        .join(builds, builds.c.content_key == table.subject)
        .where(table.kind == TaskKind.SHARD)
        .where(table.state.in_((TaskState.PENDING, TaskState.LEASED)))
        .group_by(table.subject, builds.c.created_at)
        .having(pending.is_not(None))
        .order_by(leased, builds.c.created_at)
        .limit(1)
    )
    while (candidate := change.connection.execute(query).first()) is not None:
        claimed = claim(change, TaskKind.SHARD, candidate.subject, candidate.number, owner)
        if claimed is not None:
            return claimed  # otherwise another builder was faster: look again
    return None


def _claim(change: Transaction, which: object, owner: str) -> Claim | None:
    table = tasks.c
    row = change.connection.execute(
        update(tasks)
        .where(which, table.state == TaskState.PENDING)  # type: ignore[arg-type]
        .values(
            state=TaskState.LEASED,
            owner=owner,
            fence=table.fence + 1,
            attempts=table.attempts + 1,
            beat=0,
        )
        .returning(
            table.task_id, table.kind, table.subject, table.number, table.fence, table.attempts
        )
    ).first()
    if row is None:
        return None
    return Claim(row.task_id, TaskKind(row.kind), row.subject, row.number, row.fence, row.attempts)


def _mine(claim: Claim) -> object:
    return and_(
        tasks.c.task_id == claim.task_id,
        tasks.c.fence == claim.fence,
        tasks.c.state == TaskState.LEASED,
    )


def _settle(change: Transaction, claim: Claim, **values: object) -> None:
    done = change.connection.execute(update(tasks).where(_mine(claim)).values(**values))  # type: ignore[arg-type]
    if done.rowcount != 1:
        raise StaleFence


def beat(change: Transaction, claims: list[Claim]) -> list[Claim]:
    """Show a sign of life for each claim; return those that are no longer held."""
    lost = []
    for held in claims:
        done = change.connection.execute(
            update(tasks).where(_mine(held)).values(beat=tasks.c.beat + 1)  # type: ignore[arg-type]
        )
        if done.rowcount != 1:
            lost.append(held)
    return lost


def check(connection: Connection, claim: Claim) -> None:
    """Raise `StaleFence` if a claim is no longer held."""
    if connection.scalar(select(func.count()).where(_mine(claim))) != 1:  # type: ignore[arg-type]
        raise StaleFence


def complete(change: Transaction, claim: Claim) -> None:
    """Leased → done; raises `StaleFence`."""
    _settle(change, claim, state=TaskState.DONE, owner=None, error=None)


def hand_back(change: Transaction, claim: Claim) -> None:
    """Leased → pending, without counting the attempt; raises `StaleFence`."""
    _settle(change, claim, state=TaskState.PENDING, owner=None, attempts=tasks.c.attempts - 1)
    wake(change, claim.kind, claim.subject, claim.index)


def put_aside(change: Transaction, claim: Claim) -> None:
    """Leased → pending, for later: nobody is woken, the attempt does not count.

    Raises `StaleFence`.
    """
    _settle(change, claim, state=TaskState.PENDING, owner=None, attempts=tasks.c.attempts - 1)


def try_again(change: Transaction, claim: Claim, error: str) -> None:
    """Leased → pending after an attempt that went wrong; raises `StaleFence`."""
    _settle(change, claim, state=TaskState.PENDING, owner=None, error=error)
    wake(change, claim.kind, claim.subject, claim.index)


def fail(change: Transaction, claim: Claim, error: str) -> None:
    """Leased → failed; raises `StaleFence`."""
    _settle(change, claim, state=TaskState.FAILED, owner=None, error=error)


def cancel_all(change: Transaction, subject: str) -> None:
    """Pending or leased → cancelled, for all tasks of a subject; owners find their fence stale."""
    change.connection.execute(
        update(tasks)
        .where(tasks.c.subject == subject)
        .where(tasks.c.state.in_((TaskState.PENDING, TaskState.LEASED)))
        .values(state=TaskState.CANCELLED, fence=tasks.c.fence + 1, owner=None)
    )


def take_from(change: Transaction, lost: list[LeasedTask]) -> None:
    """Leased → pending for tasks whose owner shows no sign of life since they were seen."""
    taken = 0
    for seen in lost:
        row = change.connection.execute(
            update(tasks)
            .where(tasks.c.task_id == seen.task_id, tasks.c.fence == seen.fence)
            .where(tasks.c.beat == seen.beat, tasks.c.state == TaskState.LEASED)
            .values(state=TaskState.PENDING, owner=None)
            .returning(tasks.c.kind, tasks.c.subject, tasks.c.number)
        ).first()
        if row is not None:
            wake(change, TaskKind(row.kind), row.subject, row.number)
            taken += 1
    if taken:
        _count_lost(change, taken)


def _count_lost(change: Transaction, count: int) -> None:
    insert_new(change.connection, meta, {"key": _LEASES_LOST, "value": "0"})
    sum_ = cast(meta.c.value, Integer) + count
    change.connection.execute(
        update(meta).where(meta.c.key == _LEASES_LOST).values(value=cast(sum_, Text))
    )


def leases_lost(connection: Connection) -> int:
    """Return how many leases were ever taken from owners that showed no sign of life."""
    return int(connection.scalar(select(meta.c.value).where(meta.c.key == _LEASES_LOST)) or 0)


@dataclass(frozen=True)
class LeasedTask:
    """A leased task as somebody watched it."""

    task_id: int
    fence: int
    beat: int
    owner: str


def leased(connection: Connection) -> list[LeasedTask]:
    """Return all leased tasks."""
    table = tasks.c
    rows = connection.execute(
        select(table.task_id, table.fence, table.beat, table.owner).where(
            table.state == TaskState.LEASED
        )
    )
    return [LeasedTask(row.task_id, row.fence, row.beat, row.owner) for row in rows]


def pending(connection: Connection) -> list[tuple[TaskKind, str, int]]:
    """Return (kind, subject, index) of all pending tasks."""
    table = tasks.c
    rows = connection.execute(
        select(table.kind, table.subject, table.number).where(table.state == TaskState.PENDING)
    )
    return [(TaskKind(row.kind), row.subject, row.number) for row in rows]


def count(connection: Connection, kind: TaskKind, subject: str, state: TaskState) -> int:
    """Return how many tasks of a subject are in a state."""
    table = tasks.c
    return (
        connection.scalar(
            select(func.count()).where(
                table.kind == kind, table.subject == subject, table.state == state
            )
        )
        or 0
    )
