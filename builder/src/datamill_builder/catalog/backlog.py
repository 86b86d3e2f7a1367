"""How much waits, and for how long: for `/metrics`.

Ages are of the clock of whoever asks, and for people: no decision rests on them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from datamill import topology
from datamill_builder.catalog.schema import builds, datasets, hook_calls, outbox, requests, tasks
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind, TaskState


@dataclass(frozen=True)
class Waiting:
    """What waits as of now. `queued`: datasets of which no shard has been begun."""

    queued: int
    queued_secs: float
    """How long the longest of them waits; 0 where there is none."""
    outbox_secs: float
    """How old the oldest event is that no broker has confirmed; 0 where there is none."""
    hook_calls: dict[str, int]
    """By state."""


def waiting(connection: Connection) -> Waiting:
    """Return what waits."""
    moment = time.time()
    resolving, asked_at = _resolving(connection)
    begun = (
        select(tasks.c.task_id)
        .where(tasks.c.kind == TaskKind.SHARD, tasks.c.subject == builds.c.content_key)
        .where(tasks.c.state.in_((TaskState.LEASED, TaskState.DONE)))
        .exists()
    )
    began_at = func.min(func.coalesce(builds.c.started_at, builds.c.created_at))
    queued, queued_at = connection.execute(
        select(func.count(), began_at)
        .where(builds.c.state.in_((BuildState.PLANNING, BuildState.BUILDING)))
        .where(~begun)
    ).one()
    oldest = min((at for at in (asked_at, queued_at) if at is not None), default=moment)
    calls = select(hook_calls.c.state, func.count()).group_by(hook_calls.c.state)
    return Waiting(
        queued=resolving + queued,
        queued_secs=max(0.0, moment - oldest),
        outbox_secs=max(0.0, moment - (_oldest_event(connection) or moment)),
        hook_calls={row[0]: row[1] for row in connection.execute(calls)},
    )


def _resolving(connection: Connection) -> tuple[int, float | None]:
    """Return how many dataset ids are resolved, and when the first waiting request came."""
    state = datasets.c.state == DatasetState.RESOLVING
    count = connection.scalar(select(func.count()).select_from(datasets).where(state)) or 0
    if not count:
        return 0, None
    # Those who wait are the last ones that asked; earlier ones have had their answer.
    newest_first = func.row_number().over(
        partition_by=requests.c.dataset_id, order_by=requests.c.seq.desc()
    )
    ranked = (
        select(requests.c.accepted_at, datasets.c.waiting, newest_first.label("place"))
        .join(datasets, datasets.c.dataset_id == requests.c.dataset_id)
        .where(state)
        .subquery()
    )
    first = select(func.min(ranked.c.accepted_at)).where(ranked.c.place <= ranked.c.waiting)
    return count, connection.scalar(first)


def _oldest_event(connection: Connection) -> float | None:
    body = connection.scalar(
        select(outbox.c.body)
        .where(outbox.c.exchange == topology.EVENTS_EXCHANGE)
        .order_by(outbox.c.seq)
        .limit(1)
    )
    return None if body is None else datetime.fromisoformat(json.loads(body)["time"]).timestamp()
