"""From a request to a build, and to a build once more."""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import Row, update

from datamill_builder.catalog import tasks
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.changes import set_build, tell_all
from datamill_builder.catalog.lifecycle.find import (
    find_build,
)
from datamill_builder.catalog.lifecycle.making import pack_when_complete
from datamill_builder.catalog.lifecycle.requested import answer_failed
from datamill_builder.catalog.lifecycle.results import (
    Failure,
    PlannedShard,
)
from datamill_builder.catalog.lifecycle.told import planned_event
from datamill_builder.catalog.outbox import tell
from datamill_builder.catalog.rows import insert_new
from datamill_builder.catalog.schema import builds, datasets, shards
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind


def resolve_failed(change: Transaction, claim: tasks.Claim, failure: Failure) -> None:
    """Resolving → failed."""
    tasks.fail(change, claim, failure.message)
    change.connection.execute(
        update(datasets)
        .where(datasets.c.dataset_id == claim.subject)
        .values(
            state=DatasetState.FAILED,
            reason=failure.reason,
            message=failure.message,
            retryable=failure.retryable,
            failed_at=time.time(),
            waiting=0,
        )
    )
    answer_failed(change, claim.subject, failure)


def resolved(
    change: Transaction,
    claim: tasks.Claim,
    content_key: str,
    recipe: dict[str, Any],
    raw_marks: str,
) -> Row[Any]:
    """Resolving → resolved: the dataset id is an alias of a build, which is begun if need be.

    Returns the build. The caller answers if that is ready already.
    """
    tasks.complete(change, claim)
    row = {
        "content_key": content_key,
        "dataset_name": recipe["dataset_name"],
        "state": BuildState.PLANNING,
        "epoch": 1,
        "recipe": json.dumps(recipe, sort_keys=True),
        "created_at": time.time(),
    }
    new = insert_new(change.connection, builds, row)
    change.connection.execute(
        update(datasets)
        .where(datasets.c.dataset_id == claim.subject)
        .values(state=DatasetState.RESOLVED, content_key=content_key, raw_marks=raw_marks)
    )
    if new:
        tasks.ensure(change, TaskKind.PLAN, content_key)
    build = find_build(change.connection, content_key)
    assert build is not None
    if build.state in (BuildState.BUILDING, BuildState.PACKING):
        tell(change, planned_event(build, claim.subject))
    return build


def plan_done(
    change: Transaction,
    claim: tasks.Claim,
    features: dict[str, Any] | None,
    items: int,
    records: int,
    planned: list[PlannedShard],
) -> None:
    """Planning → building."""
    tasks.complete(change, claim)
    key = claim.subject
    rows = [
        {
            "content_key": key,
            "number": index,
            "split": shard.split,
            "plan_offset": shard.plan_offset,
            "plan_bytes": shard.plan_bytes,
        }
        for index, shard in enumerate(planned)
    ]
    change.connection.execute(shards.insert(), rows)
    tasks.add_many(change, TaskKind.SHARD, key, len(rows))
    set_build(
        change,
        key,
        state=BuildState.BUILDING,
        features=json.dumps(features) if features else None,
        items=items,
        records_estimate=records,
        shards=len(rows),
        started_at=time.time(),
    )
    build = find_build(change.connection, key)
    assert build is not None
    tell_all(change, key, lambda dataset_id: planned_event(build, dataset_id))


def build_again(change: Transaction, content_key: str) -> None:
    """Failed, cancelled, evicted or broken → building, in a new epoch; finished shards are kept.

    A shard counts as finished only while its file is there: see `forget_shards`.
    """
    build = find_build(change.connection, content_key)
    assert build is not None
    planned = build.shards is not None
    set_build(
        change,
        content_key,
        state=BuildState.BUILDING if planned else BuildState.PLANNING,
        epoch=build.epoch + 1,
        sha256=None,
        reason=None,
        message=None,
        retryable=None,
        started_at=time.time(),
        ended_at=None,
    )
    if not planned:
        tasks.ensure(change, TaskKind.PLAN, content_key)
        return
    tell_all(change, content_key, lambda dataset_id: planned_event(build, dataset_id))
    tasks.restart_unfinished(change, TaskKind.SHARD, content_key)
    pack_when_complete(change, content_key)
