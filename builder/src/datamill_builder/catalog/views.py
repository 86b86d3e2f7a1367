"""Reading the catalog for those who look from outside: states, lists, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    select,
)

from datamill.events import Accepted, Evicted, Failed, Planned, Ready, Reason
from datamill_builder.catalog import lifecycle
from datamill_builder.catalog.holdings import held_bytes
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.schema import builds, datasets, outbox, requests, shards, tasks
from datamill_builder.catalog.states import BuildState, DatasetState, TaskState
from datamill_builder.catalog.tasks import NO_SPACE, leases_lost


class PublicState(StrEnum):
    """Where a dataset id stands, for those who asked for it."""

    QUEUED = "queued"
    """It was accepted; what it needs is not known yet."""
    BUILDING = "building"
    """Its shards are being made or packed."""
    READY = "ready"
    """Its archive can be fetched."""
    FAILED = "failed"
    """It will not come."""
    CANCELLED = "cancelled"
    """Somebody stopped it; asking again goes on."""
    EVICTED = "evicted"
    """It was removed to make room; asking again builds it again."""


_WHOLE = tuple(builds.c)
_LISTED = tuple(column for column in _WHOLE if column is not builds.c.recipe)
"""A recipe holds a lock file, of tens of kilobytes."""

_MAX_WAITING_READ = 1000
_MAX_WAITING_NAMED = 20

_failed_alone = datasets.c.state == DatasetState.FAILED

public_state: ColumnElement[str] = case(
    (datasets.c.state == DatasetState.RESOLVING, literal(PublicState.QUEUED.value)),
    (
        and_(_failed_alone, datasets.c.reason == Reason.CANCELLED),
        literal(PublicState.CANCELLED.value),
    ),
    (_failed_alone, literal(PublicState.FAILED.value)),
    (builds.c.state == BuildState.PLANNING, literal(PublicState.QUEUED.value)),
    (builds.c.state == BuildState.PACKING, literal(PublicState.BUILDING.value)),
    else_=builds.c.state,
)
"""The public state of a row of `datasets` with its build beside it."""


_WAITS_FOR_SPACE = and_(
    # Begun again counts too: that it fits is known at the end.
    tasks.c.state.in_((TaskState.PENDING, TaskState.LEASED)),
    tasks.c.error.startswith(NO_SPACE),
)


@dataclass(frozen=True)
class DatasetView:
    """One dataset id with its build, as of one moment.

    `dataset` is its row; `build` that of its content key, where it has one; `requests` counts
    the accepted requests for it; `shards_done` and `records_done` what is finished.
    """

    state: PublicState
    dataset: Row[Any]
    build: Row[Any] | None
    requests: int
    shards_done: int
    records_done: int
    ahead: int

    @property
    def dataset_id(self) -> str:
        """The dataset id."""
        return str(self.dataset.dataset_id)

    @property
    def ended_at(self) -> float | None:
        """When it was ready, or failed."""
        ended: float | None = self.build.ended_at if self.build else self.dataset.failed_at
        return ended

    def accepted(self) -> Accepted:
        """Return the event that says that it is waited for."""
        state = "building" if self.state is PublicState.BUILDING else "queued"
        return Accepted(
            dataset_id=self.dataset_id,
            state="ready" if self.state is PublicState.READY else state,
            waiting=self.dataset.waiting,
            ahead=self.ahead,
        )

    def planned(self) -> Planned | None:
        """Return the event that says what is built; None where that is not known yet."""
        if self.build is None or self.build.shards is None:
            return None
        return lifecycle.planned_event(self.build, self.dataset_id)

    def ready(self, public_url: str) -> Ready | None:
        """Return the event that says where the archive is; None where there is none."""
        if self.state is not PublicState.READY or self.build is None:
            return None
        return lifecycle.ready_event(self.build, self.dataset_id, public_url, cached=True)

    def failed(self) -> Failed | None:
        """Return the event that says why it will not come; None where it did not fail."""
        if self.state not in (PublicState.FAILED, PublicState.CANCELLED):
            return None
        row = self.dataset if self.dataset.state == DatasetState.FAILED else self.build
        assert row is not None
        failure = Failure(Reason(row.reason), row.message, bool(row.retryable))
        return lifecycle.failed_event(self.dataset_id, failure)

    def evicted(self) -> Evicted | None:
        """Return the event that says that it was removed; None where it was not."""
        if self.state is not PublicState.EVICTED or self.build is None:
            return None
        return Evicted(dataset_id=self.dataset_id, content_key=self.build.content_key)


@dataclass(frozen=True)
class Numbers:
    """What the catalog can count."""

    builds: dict[str, int]
    tasks: dict[tuple[str, str], int]
    outbox: int
    requests: int
    leases_lost: int
    store_bytes: int
    waiting_for_space: int


def dataset_view(connection: Connection, dataset_id: str) -> DatasetView | None:
    """Return one dataset id; None where it was never asked for."""
    rows = connection.execute(_with_states().where(datasets.c.dataset_id == dataset_id)).all()
    return _views(connection, rows, _WHOLE)[0] if rows else None


def dataset_views(
    connection: Connection,
    state: PublicState | None = None,
    dataset_name: str | None = None,
    limit: int = 100,
) -> list[DatasetView]:
    """Return dataset ids, newest first; their builds without recipes, as in all lists."""
    query = _with_states()
    if state is not None:
        query = query.where(public_state == state.value)
    if dataset_name is not None:
        query = query.where(datasets.c.dataset_name == dataset_name)
    query = query.order_by(datasets.c.created_at.desc(), datasets.c.dataset_id).limit(limit)
    return _views(connection, connection.execute(query).all(), _LISTED)


def views_of(connection: Connection, dataset_ids: Sequence[str]) -> list[DatasetView]:
    """Return dataset ids in the order in which they are given; unknown ones are left out."""
    rows = connection.execute(_with_states().where(datasets.c.dataset_id.in_(dataset_ids))).all()
    by_id = {view.dataset_id: view for view in _views(connection, rows, _LISTED)}
    return [by_id[dataset_id] for dataset_id in dataset_ids if dataset_id in by_id]


def waiting_clients(connection: Connection, dataset: Row[Any]) -> list[str]:
    """Return the names of those who wait for a dataset id, the last one to ask first.

    Each once, at most 20, of the newest 1,000 requests; who gave no name is left out.
    """
    waiting = (
        select(requests.c.seq, requests.c.client)
        .where(requests.c.dataset_id == dataset.dataset_id)
        .order_by(requests.c.seq.desc())
        .limit(min(dataset.waiting, _MAX_WAITING_READ))
        .subquery()
    )
    query = (
        select(waiting.c.client)
        .where(waiting.c.client.is_not(None))
        .group_by(waiting.c.client)
        .order_by(func.max(waiting.c.seq).desc())
        .limit(_MAX_WAITING_NAMED)
    )
    return list(connection.scalars(query)) if dataset.waiting else []


def waiting_for_space(connection: Connection, *subjects: str | None) -> str | None:
    """Return what a task says that waits for room on a disk; of some subjects, where given."""
    query = select(tasks.c.error).where(_WAITS_FOR_SPACE).order_by(tasks.c.task_id).limit(1)
    if subjects:
        query = query.where(tasks.c.subject.in_([subject for subject in subjects if subject]))
    return connection.scalar(query)


def builds_ready(connection: Connection) -> int:
    """Return how many builds have their archive."""
    which = builds.c.state == BuildState.READY
    return connection.scalar(select(func.count()).select_from(builds).where(which)) or 0


def numbers(connection: Connection) -> Numbers:
    """Return what the catalog can count."""
    by_build = connection.execute(select(builds.c.state, func.count()).group_by(builds.c.state))
    by_task = connection.execute(
        select(tasks.c.kind, tasks.c.state, func.count()).group_by(tasks.c.kind, tasks.c.state)
    )
    return Numbers(
        builds={row[0]: row[1] for row in by_build},
        tasks={(kind, state): count for kind, state, count in by_task},
        outbox=connection.scalar(select(func.count()).select_from(outbox)) or 0,
        requests=connection.scalar(select(func.count()).select_from(requests)) or 0,
        leases_lost=leases_lost(connection),
        store_bytes=held_bytes(connection),
        waiting_for_space=connection.scalar(
            select(func.count()).select_from(tasks).where(_WAITS_FOR_SPACE)
        )
        or 0,
    )


def _with_states() -> Select[Any]:
    return select(public_state.label("public_state"), datasets).outerjoin(
        builds, builds.c.content_key == datasets.c.content_key
    )


def _views(
    connection: Connection, found: Sequence[Row[Any]], of_build: Sequence[Column[Any]]
) -> list[DatasetView]:
    keys = {row.content_key for row in found if row.content_key}
    of_these = select(*of_build).where(builds.c.content_key.in_(keys))
    by_key = {row.content_key: row for row in connection.execute(of_these)}
    done = _done(connection, keys)
    asked = _asked(connection, [row.dataset_id for row in found])
    return [
        DatasetView(
            state=PublicState(row.public_state),
            dataset=row,
            build=by_key.get(row.content_key),
            requests=asked.get(row.dataset_id, 0),
            shards_done=done.get(row.content_key, (0, 0))[0],
            records_done=done.get(row.content_key, (0, 0))[1],
            ahead=_ahead(connection, row.public_state, by_key.get(row.content_key)),
        )
        for row in found
    ]


def _ahead(connection: Connection, state: str, build: Row[Any] | None) -> int:
    if state not in (PublicState.QUEUED, PublicState.BUILDING):
        return 0
    return lifecycle.builds_before(connection, build)


def _done(connection: Connection, content_keys: set[str]) -> dict[str, tuple[int, int]]:
    rows = connection.execute(
        select(shards.c.content_key, func.count(), func.sum(shards.c.records))
        .where(shards.c.content_key.in_(content_keys), shards.c.sha256.is_not(None))
        .group_by(shards.c.content_key)
    )
    return {key: (count, int(records or 0)) for key, count, records in rows}


def _asked(connection: Connection, dataset_ids: list[str]) -> dict[str, int]:
    rows = connection.execute(
        select(requests.c.dataset_id, func.count())
        .where(requests.c.dataset_id.in_(dataset_ids))
        .group_by(requests.c.dataset_id)
    )
    return {row[0]: row[1] for row in rows}
