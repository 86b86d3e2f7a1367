"""A build ends without an archive, or loses it."""

from __future__ import annotations

import time

from datamill.events import Evicted, Reason
from datamill_builder.catalog import tasks
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.changes import (
    move_build,
    move_dataset,
    nobody_waits,
    tell_all,
)
from datamill_builder.catalog.lifecycle.find import (
    find_dataset,
    hold_build,
    hold_dataset,
)
from datamill_builder.catalog.lifecycle.hooked import call_hooks
from datamill_builder.catalog.lifecycle.requested import answer_failed
from datamill_builder.catalog.lifecycle.results import (
    Failure,
)
from datamill_builder.catalog.lifecycle.told import failed_event
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState, DatasetState

_CANCELLED = Failure(Reason.CANCELLED, "cancelled by an administrator; ask again to go on", True)


def work_failed(change: Transaction, claim: tasks.Claim, failure: Failure) -> None:
    """Active → failed, since a piece of its work can't succeed; raises `StaleFence`."""
    hold_build(change, claim.subject)
    tasks.fail(change, claim, failure.message)
    build_failed(change, claim.subject, failure)


def build_failed(change: Transaction, content_key: str, failure: Failure) -> None:
    """Active → failed, and all who wait are told; nothing where it has ended already."""
    _end_build(change, content_key, BuildState.FAILED, failure)


def cancel(change: Transaction, dataset_id: str) -> bool:
    """Active → cancelled: stop the build of a dataset, or the search for one.

    Returns False where nothing is being built for it.
    """
    if _cancel_search(change, dataset_id):
        return True
    row = find_dataset(change.connection, dataset_id)
    if row is None or not row.content_key:
        return False
    return _end_build(change, row.content_key, BuildState.CANCELLED, _CANCELLED)


def _cancel_search(change: Transaction, dataset_id: str) -> bool:
    with change.connection.begin_nested() as held:
        row = hold_dataset(change, dataset_id)
        if row is None or row.state != DatasetState.RESOLVING:
            held.rollback()  # and let go of it: a build is held before its dataset ids
            return False
        end_resolving(change, dataset_id, _CANCELLED)
        tasks.cancel_all(change, dataset_id)
    return True


def end_resolving(change: Transaction, dataset_id: str, failure: Failure) -> None:
    """Resolving → failed, and all who wait are told."""
    move_dataset(
        change,
        dataset_id,
        DatasetState.RESOLVING,
        DatasetState.FAILED,
        reason=failure.reason,
        message=failure.message,
        retryable=failure.retryable,
        failed_at=time.time(),
        waiting=0,
    )
    answer_failed(change, dataset_id, failure)
    call_hooks(change, failed_event(dataset_id, failure))


def _end_build(change: Transaction, key: str, state: BuildState, failure: Failure) -> bool:
    build = hold_build(change, key)
    if build is None or build.state not in ACTIVE_BUILDS:
        return False  # it has ended already, and those who waited were told
    move_build(
        change,
        key,
        BuildState(build.state),
        state,
        build.epoch,
        reason=failure.reason,
        message=failure.message,
        retryable=failure.retryable,
        ended_at=time.time(),
    )
    tell_all(change, key, lambda dataset_id: failed_event(dataset_id, failure))
    nobody_waits(change, key)
    tasks.cancel_all(change, key)
    return True


def evicted(change: Transaction, content_key: str) -> None:
    """Ready → evicted: the archive is about to be deleted."""
    build = hold_build(change, content_key)
    assert build is not None
    move_build(change, content_key, BuildState.READY, BuildState.EVICTED, build.epoch)
    tell_all(change, content_key, lambda id_: Evicted(dataset_id=id_, content_key=content_key))
