"""From a request to a build, and to a build once more."""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import Row

from datamill_builder.catalog import tasks
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.changes import move_build, move_dataset, tell_all
from datamill_builder.catalog.lifecycle.endings import end_resolving
from datamill_builder.catalog.lifecycle.find import (
    find_build,
    find_dataset,
    hold_aliases,
    hold_build,
    hold_dataset,
    next_turn,
)
from datamill_builder.catalog.lifecycle.hooked import call_hooks
from datamill_builder.catalog.lifecycle.keeping import note_told
from datamill_builder.catalog.lifecycle.making import pack_when_complete
from datamill_builder.catalog.lifecycle.requested import answer_ready
from datamill_builder.catalog.lifecycle.results import (
    Failure,
    PlannedShard,
)
from datamill_builder.catalog.lifecycle.told import planned_event, ready_event
from datamill_builder.catalog.outbox import tell
from datamill_builder.catalog.rows import insert_new
from datamill_builder.catalog.schema import builds, shards
from datamill_builder.catalog.states import BuildState, DatasetState, TaskKind


def resolve_failed(change: Transaction, claim: tasks.Claim, failure: Failure) -> None:
    """Resolving → failed; raises `StaleFence`."""
    hold_dataset(change, claim.subject)
    tasks.fail(change, claim, failure.message)
    end_resolving(change, claim.subject, failure)


def resolved(
    change: Transaction,
    claim: tasks.Claim,
    content_key: str,
    recipe: dict[str, Any],
    raw_marks: str,
) -> Row[Any]:
    """Resolving → resolved: the dataset id is an alias of a build, which is begun if need be.

    Returns the build, which is held: until this change ends, nobody else moves it. The caller
    answers if it is ready already, and begins it again if it has ended. Who was told of what the
    dataset id meant before may be on the way to it: that is noted there.
    """
    before = find_dataset(change.connection, claim.subject)
    assert before is not None
    left = before.meant if before.meant != content_key else None
    if left and left < content_key:  # builds, too, are held in their order
        hold_build(change, left)
    row = {
        "content_key": content_key,
        "dataset_name": recipe["dataset_name"],
        "state": BuildState.PLANNING,
        "epoch": 1,
        "recipe": json.dumps(recipe, sort_keys=True),
        "created_at": time.time(),
    }
    new = insert_new(change.connection, builds, row)
    build = hold_build(change, content_key)
    assert build is not None
    if left and (other := hold_build(change, left)):
        note_told(change, other, before.asked_at)
    hold_aliases(change, content_key, claim.subject)
    tasks.complete(change, claim)
    move_dataset(
        change,
        claim.subject,
        DatasetState.RESOLVING,
        DatasetState.RESOLVED,
        content_key=content_key,
        meant=None,
        raw_marks=raw_marks,
    )
    if new:
        tasks.ensure(change, TaskKind.PLAN, content_key)
    if build.state in (BuildState.BUILDING, BuildState.PACKING):
        tell(change, planned_event(build, claim.subject))
    return build


def answer_resolved(change: Transaction, dataset_id: str, build: Row[Any], public_url: str) -> None:
    """Answer those who wait for a dataset id that turned out to be ready already."""
    answer_ready(change, dataset_id, build, public_url)
    call_hooks(change, ready_event(build, dataset_id, public_url, cached=True))


def plan_done(
    change: Transaction,
    claim: tasks.Claim,
    features: dict[str, Any] | None,
    items: int,
    records: int,
    planned: list[PlannedShard],
) -> None:
    """Planning → building; raises `StaleFence`."""
    key = claim.subject
    hold_build(change, key)
    tasks.complete(change, claim)
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
    move_build(
        change,
        key,
        BuildState.PLANNING,
        BuildState.BUILDING,
        claim.epoch,
        features=json.dumps(features) if features else None,
        items=items,
        records_estimate=records,
        shards=len(rows),
        started_at=time.time(),
        turn=next_turn(change),
    )
    build = find_build(change.connection, key)
    assert build is not None
    tell_all(change, key, lambda dataset_id: planned_event(build, dataset_id))


def build_again(change: Transaction, content_key: str) -> None:
    """Failed, cancelled, evicted or broken → building, in a new epoch; finished shards are kept.

    A shard counts as finished only while its file is there: see `forget_shards`.
    """
    build = hold_build(change, content_key)
    assert build is not None
    planned = build.shards is not None
    move_build(
        change,
        content_key,
        BuildState(build.state),
        BuildState.BUILDING if planned else BuildState.PLANNING,
        build.epoch,
        epoch=build.epoch + 1,
        sha256=None,
        reason=None,
        message=None,
        retryable=None,
        started_at=time.time(),
        turn=next_turn(change),
        ended_at=None,
    )
    if not planned:
        tasks.ensure(change, TaskKind.PLAN, content_key)
        return
    tell_all(change, content_key, lambda dataset_id: planned_event(build, dataset_id))
    tasks.restart_unfinished(change, TaskKind.SHARD, content_key)
    pack_when_complete(change, content_key, build.epoch + 1)
