"""A request comes in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from datamill.events import Accepted
from datamill.request import Request, canonical_json
from datamill.tracing import carried
from datamill_builder.catalog import tasks
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.changes import move_dataset
from datamill_builder.catalog.lifecycle.find import (
    builds_before,
    find_build,
    hold_dataset,
)
from datamill_builder.catalog.lifecycle.results import (
    Failure,
)
from datamill_builder.catalog.lifecycle.told import failed_event, planned_event, ready_event
from datamill_builder.catalog.outbox import tell
from datamill_builder.catalog.rows import insert_all_new, insert_new
from datamill_builder.catalog.schema import datasets, requests
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind

REPEATED_FAILURE_SECS = 1.0
"""Requests within this time after a failure get the same answer: they came for the same try."""

REPEATED_QUESTION_SECS = 600.0
"""The same for requests that were asked before: who waits asks again within this time."""

_ANSWERED = (
    update(datasets)
    .where(datasets.c.dataset_id == bindparam("answered"))
    .values(asked_at=bindparam("moment"), waiting=0)
)


def log_requests(
    change: Transaction,
    message_ids: list[str],
    dataset_id: str,
    clients: Sequence[str | None] | None = None,
) -> int:
    """Write accepted requests for one dataset into the log; return how many were not there yet.

    `clients`: who sent each message, where that was said.
    """
    moment = time.time()
    rows = [
        {
            "message_id": message_id,
            "dataset_id": dataset_id,
            "accepted_at": moment,
            "client": client,
        }
        for message_id, client in zip(
            message_ids, clients or [None] * len(message_ids), strict=True
        )
    ]
    return insert_all_new(change.connection, requests, rows)


def accept_new(change: Transaction, request: Request) -> bool:
    """Take a dataset id that was never asked for; return False where it was."""
    moment = time.time()
    trace = carried()
    row = {
        "dataset_id": request.dataset_id,
        "dataset_name": request.dataset_name,
        "handler_version": request.handler_version,
        "config": canonical_json(request.dataset_config).decode(),
        "state": DatasetState.RESOLVING,
        "waiting": 0,
        "created_at": moment,
        "asked_at": moment,
        "trace": trace.encode() if trace else None,
    }
    if not insert_new(change.connection, datasets, row):
        return False
    tasks.ensure(change, TaskKind.RESOLVE, request.dataset_id)
    return True


def wait_for(change: Transaction, dataset_id: str, waiting: int) -> None:
    """Count those who wait for a dataset, and tell them where it stands."""
    row = change.connection.execute(
        update(datasets)
        .where(datasets.c.dataset_id == dataset_id)
        .values(waiting=datasets.c.waiting + waiting, asked_at=time.time())
        .returning(datasets.c.waiting, datasets.c.content_key)
    ).one()
    build = find_build(change.connection, row.content_key) if row.content_key else None
    building = build is not None and build.state != BuildState.PLANNING
    ahead = builds_before(change.connection, build)
    state = "building" if building else "queued"
    tell(change, Accepted(dataset_id=dataset_id, state=state, waiting=row.waiting, ahead=ahead))
    if build is not None and build.state in (BuildState.BUILDING, BuildState.PACKING):
        tell(change, planned_event(build, dataset_id))


def resolve_again(change: Transaction, dataset_id: str) -> None:
    """Resolved or failed → resolving: its raw data changed, or it is asked for again.

    What it meant is remembered: most often it is what it will turn out to mean.
    """
    row = hold_dataset(change, dataset_id)
    assert row is not None
    trace = carried()
    move_dataset(
        change,
        dataset_id,
        DatasetState(row.state),
        DatasetState.RESOLVING,
        content_key=None,
        meant=row.content_key or row.meant,
        raw_marks=None,
        reason=None,
        message=None,
        retryable=None,
        trace=trace.encode() if trace else None,
    )
    tasks.ensure(change, TaskKind.RESOLVE, dataset_id)


def forget_marks(change: Transaction, raw_marks: str) -> None:
    """Note that raw data is not what these marks say: what was made of it is resolved anew.

    Not at once but when it is asked for; a dataset id that was resolved anew meanwhile has marks
    of its own.
    """
    marked = datasets.c.raw_marks == raw_marks
    held = select(datasets.c.dataset_id).where(marked).order_by(datasets.c.dataset_id)
    change.connection.execute(held.with_for_update()).all()
    change.connection.execute(update(datasets).where(marked).values(raw_marks=None))


def answer_ready(
    change: Transaction, dataset_id: str, build: Row[Any], public_url: str, *, now: bool = False
) -> None:
    """Answer a request for what is there; `now`: before the commit, which takes a disk's time.

    What is ready is so whether this request gets into the log or comes again.
    """
    tell(change, Accepted(dataset_id=dataset_id, state="ready", waiting=0, ahead=0), now=now)
    tell(change, ready_event(build, dataset_id, public_url, cached=True), now=now)
    change.connection.execute(_ANSWERED, {"answered": dataset_id, "moment": time.time()})


def answer_failed(change: Transaction, dataset_id: str, failure: Failure) -> None:
    """Answer a request that can't be met."""
    tell(change, failed_event(dataset_id, failure))
