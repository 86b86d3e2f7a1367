"""Leased work: who does what, fenced.

Work is resolving, planning, the making of each shard, and packing. A claim raises the task's
fence. Whatever its owner writes later says `WHERE fence = mine`, and the same of the build's
epoch, so an owner that was paused and given up can change nothing. An owner shows signs of life
by raising `beat`; whoever watches judges by how long *it* has seen the same beat, on its own
monotonic clock, so that no two clocks are ever compared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    select,
    update,
)

from datamill import topology
from datamill.broker import Outbound
from datamill.errors import DatamillError
from datamill.tracing import carried_headers
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.moves import move
from datamill_builder.catalog.outbox import new_message_id
from datamill_builder.catalog.rows import insert_new
from datamill_builder.catalog.schema import builds, meta, tasks
from datamill_builder.catalog.states import ACTIVE_TASKS, ENDED_TASKS, TaskKind, TaskState

_LEASES_LOST = "leases_lost_total"
_KEYS = {TaskKind.SHARD: topology.SHARD_KEY, TaskKind.PACK: topology.PACK_KEY}


NO_SPACE = "no space is left: "
"""How the error of a task begins that waits for room on a disk."""


class StaleFence(DatamillError):
    """The work was given to another owner meanwhile; nothing of it may be published."""


@dataclass(frozen=True)
class Claim:
    """The right to do a task, until the fence moves on.

    `epoch`: of the build that it is work for; None before there is one.
    """

    task_id: int
    kind: TaskKind
    subject: str
    index: int
    fence: int
    attempts: int
    epoch: int | None = None

    def __str__(self) -> str:
        """Return what log lines call it."""
        if self.kind is TaskKind.SHARD:
            return f"{self.subject[:12]}.{self.index}"
        return f"{self.subject[:12]}: {self.kind}"


def ensure(change: Transaction, kind: TaskKind, subject: str, index: int = 0) -> None:
    """Make a task pending that is new or has ended, and wake somebody up for it."""
    row = {"kind": kind, "subject": subject, "number": index, "state": TaskState.PENDING}
    if insert_new(change.connection, tasks, row):
        wake(change, kind, subject, index)
        return
    _restart(change, ENDED_TASKS, _named(kind, subject, index))


def add_many(change: Transaction, kind: TaskKind, subject: str, count: int) -> None:
    """Add `count` pending tasks that are known to be new."""
    rows = [
        {"kind": kind, "subject": subject, "number": index, "state": TaskState.PENDING}
        for index in range(count)
    ]
    change.connection.execute(insert(tasks), rows)
    for index in range(count):
        wake(change, kind, subject, index)


def restart_unfinished(change: Transaction, kind: TaskKind, subject: str) -> None:
    """Make the failed and cancelled tasks of a subject pending again."""
    which = and_(tasks.c.kind == kind, tasks.c.subject == subject)
    _restart(change, (TaskState.FAILED, TaskState.CANCELLED), which)


def _restart(
    change: Transaction, origins: tuple[TaskState, ...], which: ColumnElement[bool]
) -> None:
    for origin in origins:
        rows = move(change, tasks, origin, TaskState.PENDING, which, attempts=0, error=None)
        for row in sorted(rows, key=lambda row: row.number):
            wake(change, TaskKind(row.kind), row.subject, row.number)


def _named(kind: TaskKind, subject: str, index: int) -> ColumnElement[bool]:
    return and_(tasks.c.kind == kind, tasks.c.subject == subject, tasks.c.number == index)


def ticket(kind: TaskKind, subject: str, index: int) -> bytes:
    """Return the body of the message that there is work."""
    return json.dumps({"task": kind, "subject": subject, "index": index}).encode()


def wake(change: Transaction, kind: TaskKind, subject: str, index: int = 0) -> None:
    """Publish that there is work: a hint, the task itself is in the catalog."""
    key = _KEYS.get(kind, topology.BUILD_KEY)
    body = ticket(kind, subject, index)
    message = (topology.WORK_EXCHANGE, key, body, new_message_id())
    change.publish(Outbound(*message, mandatory=True, headers=carried_headers()))


def claim(
    change: Transaction, kind: TaskKind, subject: str, index: int, owner: str
) -> Claim | None:
    """Pending → leased; None where it is not pending."""
    table = tasks.c
    rows = move(
        change,
        tasks,
        TaskState.PENDING,
        TaskState.LEASED,
        _named(kind, subject, index),
        owner=owner,
        fence=table.fence + 1,
        attempts=table.attempts + 1,
        beat=0,
    )
    if not rows:
        return None
    epoch = change.connection.scalar(select(builds.c.epoch).where(builds.c.content_key == subject))
    return Claim(rows[0].task_id, kind, subject, index, rows[0].fence, rows[0].attempts, epoch)


def claim_fair_shard(
    change: Transaction,
    owner: str,
    passing_over: Sequence[str] = (),
    smallest_first: bool = False,
) -> Claim | None:
    """Claim a shard of the build that has the fewest shards in work; None where none is pending.

    Among equals the build that began first is first: a rebuilt one that began again. Or, with
    `smallest_first`, of the build that has the fewest shards left: whoever takes turns between
    both leaves no small build behind large ones, and none for ever behind others.
    `passing_over`: content keys of builds that are not to be looked at.
    """
    table = tasks.c
    leased = func.sum(case((table.state == TaskState.LEASED, 1), else_=0))
    pending = func.min(case((table.state == TaskState.PENDING, table.number)))
    order = [func.count(), leased] if smallest_first else [leased]
    query = (
        select(table.subject, pending.label("number"))
        .join(builds, builds.c.content_key == table.subject)
        .where(table.kind == TaskKind.SHARD)
        .where(table.state.in_((TaskState.PENDING, TaskState.LEASED)))
        .group_by(table.subject, builds.c.turn)
        .having(pending.is_not(None))
        .order_by(*order, func.coalesce(builds.c.turn, 0), table.subject)
        .limit(1)
    )
    if passing_over:
        query = query.where(table.subject.not_in(passing_over))
    while (candidate := change.connection.execute(query).first()) is not None:
        claimed = claim(change, TaskKind.SHARD, candidate.subject, candidate.number, owner)
        if claimed is not None:
            return claimed  # otherwise another builder was faster: look again
    return None


def _mine(claim: Claim) -> ColumnElement[bool]:
    return and_(tasks.c.task_id == claim.task_id, tasks.c.fence == claim.fence)


def _settle(change: Transaction, claim: Claim, to: TaskState, **values: object) -> None:
    which = [_mine(claim)]
    if claim.epoch is not None:
        its_build = and_(builds.c.content_key == claim.subject, builds.c.epoch == claim.epoch)
        which.append(select(builds.c.epoch).where(its_build).exists())
    if not move(change, tasks, TaskState.LEASED, to, *which, owner=None, **values):
        raise StaleFence


def beat(change: Transaction, claims: list[Claim]) -> list[Claim]:
    """Show a sign of life for each claim; return those that are no longer held."""
    lost = []
    for held in sorted(claims, key=lambda claim: claim.task_id):  # as all who lock several
        done = change.connection.execute(
            update(tasks)
            .where(_mine(held), tasks.c.state == TaskState.LEASED)
            .values(beat=tasks.c.beat + 1)
        )
        if done.rowcount != 1:
            lost.append(held)
    return lost


def complete(change: Transaction, claim: Claim) -> None:
    """Leased → done; raises `StaleFence`."""
    _settle(change, claim, TaskState.DONE, error=None)


def hand_back(change: Transaction, claim: Claim, error: str | None = None) -> None:
    """Leased → pending, without counting the attempt; raises `StaleFence`."""
    _settle(change, claim, TaskState.PENDING, attempts=tasks.c.attempts - 1, error=error)
    wake(change, claim.kind, claim.subject, claim.index)


def put_aside(change: Transaction, claim: Claim) -> None:
    """Leased → pending, for later: nobody is woken, the attempt does not count.

    Raises `StaleFence`.
    """
    _settle(change, claim, TaskState.PENDING, attempts=tasks.c.attempts - 1)


def try_again(change: Transaction, claim: Claim, error: str) -> None:
    """Leased → pending after an attempt that went wrong; raises `StaleFence`."""
    _settle(change, claim, TaskState.PENDING, error=error)
    wake(change, claim.kind, claim.subject, claim.index)


def fail(change: Transaction, claim: Claim, error: str) -> None:
    """Leased → failed; raises `StaleFence`."""
    _settle(change, claim, TaskState.FAILED, error=error)


def cancel_all(change: Transaction, subject: str) -> None:
    """Pending or leased → cancelled, for all tasks of a subject; owners find their fence stale."""
    table = tasks.c
    mine = table.subject == subject
    active = select(table.task_id).where(mine, table.state.in_(ACTIVE_TASKS))
    change.connection.execute(active.order_by(table.task_id).with_for_update()).all()
    for origin in ACTIVE_TASKS:
        cancelled = TaskState.CANCELLED
        move(change, tasks, origin, cancelled, mine, fence=table.fence + 1, owner=None)


def take_from(change: Transaction, lost: list[LeasedTask]) -> None:
    """Leased → pending for tasks whose owner shows no sign of life since they were seen."""
    table = tasks.c
    taken = 0
    for seen in sorted(lost, key=lambda seen: seen.task_id):
        unchanged = and_(
            table.task_id == seen.task_id, table.fence == seen.fence, table.beat == seen.beat
        )
        for row in move(change, tasks, TaskState.LEASED, TaskState.PENDING, unchanged, owner=None):
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


def fences_in_hand(connection: Connection, kind: TaskKind, subject: str) -> set[int]:
    """Return the fences under which a subject's tasks are being worked on."""
    table = tasks.c
    query = select(table.fence).where(table.kind == kind, table.subject == subject)
    return set(connection.scalars(query.where(table.state == TaskState.LEASED)))


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
