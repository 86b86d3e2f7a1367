"""A build ends without an archive, or loses it."""

from __future__ import annotations

import time

from sqlalchemy import update

from datamill.events import Evicted, Reason
from datamill_builder.catalog import tasks
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.changes import nobody_waits, set_build, tell_all
from datamill_builder.catalog.lifecycle.find import (
    find_build,
    find_dataset,
)
from datamill_builder.catalog.lifecycle.requested import answer_failed
from datamill_builder.catalog.lifecycle.results import (
    Failure,
)
from datamill_builder.catalog.lifecycle.told import failed_event
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState, DatasetState


def build_failed(change: Transaction, content_key: str, failure: Failure) -> None:
    """Active → failed, and all who wait are told."""
    end_build(change, content_key, BuildState.FAILED, failure)


def cancel(change: Transaction, dataset_id: str) -> bool:
    """Stop the build of a dataset; return False where nothing is being built for it."""
    row = find_dataset(change.connection, dataset_id)
    if row is None:
        return False
    failure = Failure(Reason.CANCELLED, "cancelled by an administrator; ask again to go on", True)
    if row.content_key:
        build = find_build(change.connection, row.content_key)
        if build is None or build.state not in ACTIVE_BUILDS:
            return False
        end_build(change, row.content_key, BuildState.CANCELLED, failure)
        return True
    if row.state != DatasetState.RESOLVING:
        return False
    tasks.cancel_all(change, dataset_id)
    change.connection.execute(
        update(datasets)
        .where(datasets.c.dataset_id == dataset_id)
        .values(
            state=DatasetState.FAILED,
            reason=failure.reason,
            message=failure.message,
            retryable=True,
            failed_at=time.time(),
            waiting=0,
        )
    )
    answer_failed(change, dataset_id, failure)
    return True


def end_build(change: Transaction, key: str, state: BuildState, failure: Failure) -> None:
    """Active → failed or cancelled."""
    ended = change.connection.execute(
        update(builds)
        .where(builds.c.content_key == key, builds.c.state.in_(ACTIVE_BUILDS))
        .values(
            state=state,
            reason=failure.reason,
            message=failure.message,
            retryable=failure.retryable,
            ended_at=time.time(),
        )
    )
    if not ended.rowcount:
        return  # it has ended already, and those who waited were told
    tasks.cancel_all(change, key)
    tell_all(change, key, lambda dataset_id: failed_event(dataset_id, failure))
    nobody_waits(change, key)


def evicted(change: Transaction, content_key: str) -> None:
    """Ready → evicted: the archive is about to be deleted."""
    set_build(change, content_key, state=BuildState.EVICTED)
    tell_all(change, content_key, lambda id_: Evicted(dataset_id=id_, content_key=content_key))
