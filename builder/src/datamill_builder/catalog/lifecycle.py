"""The life of a request: what each step changes in the catalog, and what it tells.

Every function works inside one transaction: state and messages change together or not at all.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from datamill.events import Accepted, Event, Evicted, Failed, Planned, Ready, Reason, ShardDone
from datamill.request import Request, canonical_json
from datamill_builder.catalog import tasks
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.outbox import tell
from datamill_builder.catalog.rows import insert_new
from datamill_builder.catalog.schema import builds, datasets, meta, requests, shards
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState, DatasetState, TaskKind

REPEATED_FAILURE_SECS = 1.0
"""Requests within this time after a failure get the same answer: they came for the same try."""


def storable(text: str) -> str:
    """Return a text without what databases and JSON refuse: lone surrogates and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


@dataclass(frozen=True)
class Failure:
    """Why something did not come about."""

    reason: Reason
    message: str
    retryable: bool = False

    def __post_init__(self) -> None:
        # A handler's words may hold what no database or JSON takes: surrogates, NUL.
        object.__setattr__(self, "message", storable(self.message))


@dataclass(frozen=True)
class ShardResult:
    """A finished shard."""

    file: str
    records: int
    bytes: int
    sha256: str
    skipped: list[dict[str, str]]
    secs: float


@dataclass(frozen=True)
class PlannedShard:
    """A slice of the plan's file of one split."""

    split: str
    plan_offset: int
    plan_bytes: int


@dataclass(frozen=True)
class ArchiveResult:
    """A finished archive. `offsets`: where each shard's bytes begin in it."""

    name: str
    bytes: int
    sha256: str
    mark: str
    offsets: list[int]


# --- a request comes in ---


def log_request(change: Transaction, message_id: str, dataset_id: str) -> bool:
    """Write an accepted request into the log; return whether it was not there yet."""
    row = {"message_id": message_id, "dataset_id": dataset_id, "accepted_at": time.time()}
    return insert_new(change.connection, requests, row)


def accept_new(change: Transaction, request: Request) -> bool:
    """Take a dataset id that was never asked for; return False where it was."""
    moment = time.time()
    row = {
        "dataset_id": request.dataset_id,
        "dataset_name": request.dataset_name,
        "handler_version": request.handler_version,
        "config": canonical_json(request.dataset_config).decode(),
        "state": DatasetState.RESOLVING,
        "waiting": 0,
        "created_at": moment,
        "asked_at": moment,
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
    """Any state → resolving: its raw data changed, or it failed and is asked for again."""
    change.connection.execute(
        update(datasets)
        .where(datasets.c.dataset_id == dataset_id)
        .values(
            state=DatasetState.RESOLVING,
            content_key=None,
            raw_marks=None,
            reason=None,
            message=None,
            retryable=None,
        )
    )
    tasks.ensure(change, TaskKind.RESOLVE, dataset_id)


def answer_ready(change: Transaction, dataset_id: str, build: Row[Any], public_url: str) -> None:
    """Answer a request for what is there."""
    change.connection.execute(
        update(datasets)
        .where(datasets.c.dataset_id == dataset_id)
        .values(asked_at=time.time(), waiting=0)
    )
    tell(change, Accepted(dataset_id=dataset_id, state="ready", waiting=0, ahead=0))
    tell(change, ready_event(build, dataset_id, public_url, cached=True))


def answer_failed(change: Transaction, dataset_id: str, failure: Failure) -> None:
    """Answer a request that can't be met."""
    tell(change, failed_event(dataset_id, failure))


# --- from a request to a build ---


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
    _set_build(
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
    _tell_all(change, key, lambda dataset_id: planned_event(build, dataset_id))


def build_again(change: Transaction, content_key: str) -> None:
    """Failed, cancelled, evicted or broken → building, in a new epoch; finished shards are kept.

    A shard counts as finished only while its file is there: see `forget_shards`.
    """
    build = find_build(change.connection, content_key)
    assert build is not None
    planned = build.shards is not None
    _set_build(
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
    _tell_all(change, content_key, lambda dataset_id: planned_event(build, dataset_id))
    tasks.restart_unfinished(change, TaskKind.SHARD, content_key)
    _pack_when_complete(change, content_key)


def forget_shards(change: Transaction, content_key: str, indexes: list[int]) -> None:
    """Make shards again whose files are gone or damaged.

    A handler that can't be cut into shards makes all of them in the first one's task.
    """
    build = find_build(change.connection, content_key)
    assert build is not None
    whole = json.loads(build.recipe)["mode"] == "classic"
    for index in [0] if whole and indexes else indexes:
        change.connection.execute(
            update(shards)
            .where(shards.c.content_key == content_key, shards.c.number == index)
            .values(file=None, sha256=None, archive_offset=None)
        )
        tasks.ensure(change, TaskKind.SHARD, content_key, range(index, index + 1))


# --- shards and the archive ---


def shard_done(
    change: Transaction, claim: tasks.Claim, result: ShardResult, public_url: str
) -> None:
    """Record a finished shard; the last one makes the build ready for packing."""
    tasks.complete(change, claim)
    _record_shard(change, claim.subject, claim.index, result, public_url)
    _pack_when_complete(change, claim.subject)


def _record_shard(
    change: Transaction, key: str, index: int, result: ShardResult, public_url: str
) -> None:
    shard = change.connection.execute(
        update(shards)
        .where(shards.c.content_key == key, shards.c.number == index)
        .values(
            file=result.file,
            records=result.records,
            bytes=result.bytes,
            sha256=result.sha256,
            skipped=json.dumps(result.skipped) if result.skipped else None,
            secs=result.secs,
            archive_offset=None,
        )
        .returning(shards.c.split)
    ).one()
    build = find_build(change.connection, key)
    assert build is not None

    def event(dataset_id: str) -> Event:
        return ShardDone(
            dataset_id=dataset_id,
            index=index,
            shards=build.shards,
            split=shard.split,
            url=f"{public_url}/datasets/{dataset_id}/shards/{index}",
            bytes=result.bytes,
            sha256=result.sha256,
            records=result.records,
        )

    _tell_all(change, key, event)


def classic_done(
    change: Transaction,
    claim: tasks.Claim,
    results: list[ShardResult],
    features: dict[str, Any] | None,
    public_url: str,
) -> None:
    """Record all files of a handler that can't be cut into shards: each becomes one."""
    key = claim.subject
    rest = range(1, len(results))
    rows = [
        {"content_key": key, "number": i, "split": "train", "plan_offset": 0, "plan_bytes": 0}
        for i in rest
    ]
    change.connection.execute(
        delete(shards).where(shards.c.content_key == key, shards.c.number > 0)
    )
    if rows:
        change.connection.execute(shards.insert(), rows)
    said = json.dumps({"features": features, "labels": {}}) if features else None
    records = sum(result.records for result in results)
    _set_build(change, key, shards=len(results), records_estimate=records, features=said)
    for index in rest:
        _record_shard(change, key, index, results[index], public_url)
    shard_done(change, claim, results[0], public_url)


def _pack_when_complete(change: Transaction, content_key: str) -> None:
    missing = change.connection.scalar(
        select(func.count()).where(shards.c.content_key == content_key, shards.c.sha256.is_(None))
    )
    if not missing:
        _set_build(change, content_key, state=BuildState.PACKING)
        tasks.ensure(change, TaskKind.PACK, content_key)


def pack_found_damage(change: Transaction, claim: tasks.Claim, indexes: list[int]) -> None:
    """Packing → building: some shards' files are gone or damaged."""
    tasks.complete(change, claim)
    _set_build(change, claim.subject, state=BuildState.BUILDING)
    forget_shards(change, claim.subject, indexes)


def pack_done(
    change: Transaction, claim: tasks.Claim, archive: ArchiveResult, records: int, public_url: str
) -> None:
    """Packing → ready."""
    tasks.complete(change, claim)
    key = claim.subject
    for index, offset in enumerate(archive.offsets):
        change.connection.execute(
            update(shards)
            .where(shards.c.content_key == key, shards.c.number == index)
            .values(archive_offset=offset, file=None)
        )
    _set_build(
        change,
        key,
        state=BuildState.READY,
        archive=archive.name,
        bytes=archive.bytes,
        sha256=archive.sha256,
        archive_mark=archive.mark,
        records=records,
        ended_at=time.time(),
    )
    build = find_build(change.connection, key)
    assert build is not None
    _tell_all(change, key, lambda id_: ready_event(build, id_, public_url, cached=False))
    _nobody_waits(change, key)


def mark_archive(change: Transaction, content_key: str, mark: str | None) -> None:
    """Note by what the archive's file, whose bytes were just checked, is known again."""
    _set_build(change, content_key, archive_mark=mark)


# --- ends ---


def build_failed(change: Transaction, content_key: str, failure: Failure) -> None:
    """Active → failed, and all who wait are told."""
    _end_build(change, content_key, BuildState.FAILED, failure)


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
        _end_build(change, row.content_key, BuildState.CANCELLED, failure)
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


def _end_build(change: Transaction, key: str, state: BuildState, failure: Failure) -> None:
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
    _tell_all(change, key, lambda dataset_id: failed_event(dataset_id, failure))
    _nobody_waits(change, key)


def evicted(change: Transaction, content_key: str) -> None:
    """Ready → evicted: the archive is about to be deleted."""
    _set_build(change, content_key, state=BuildState.EVICTED)
    _tell_all(change, content_key, lambda id_: Evicted(dataset_id=id_, content_key=content_key))


# --- reading ---


def find_dataset(connection: Connection, dataset_id: str) -> Row[Any] | None:
    """Return the row of a dataset id."""
    return connection.execute(select(datasets).where(datasets.c.dataset_id == dataset_id)).first()


def find_build(connection: Connection, content_key: str) -> Row[Any] | None:
    """Return the row of a build."""
    return connection.execute(select(builds).where(builds.c.content_key == content_key)).first()


def find_shards(connection: Connection, content_key: str) -> list[Row[Any]]:
    """Return the rows of a build's shards, in order."""
    rows = connection.execute(
        select(shards).where(shards.c.content_key == content_key).order_by(shards.c.number)
    )
    return list(rows)


def finished(connection: Connection, content_key: str) -> tuple[int, int]:
    """Return how many shards of a build are finished, and how many records they hold."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(shards.c.records), 0)).where(
            shards.c.content_key == content_key, shards.c.sha256.is_not(None)
        )
    ).one()
    return int(row[0]), int(row[1])


def aliases(connection: Connection, content_key: str) -> list[str]:
    """Return the dataset ids that mean a build."""
    return list(
        connection.scalars(
            select(datasets.c.dataset_id)
            .where(datasets.c.content_key == content_key)
            .order_by(datasets.c.dataset_id)
        )
    )


def public_url(connection: Connection) -> str | None:
    """Return the notifier's address, as it last said it."""
    return connection.scalar(select(meta.c.value).where(meta.c.key == "public_url"))


def builds_before(connection: Connection, build: Row[Any] | None) -> int:
    """Return how many unfinished builds are older than this one; all, where there is none yet."""
    query = select(func.count()).where(builds.c.state.in_(ACTIVE_BUILDS))
    if build is not None:
        query = query.where(builds.c.created_at < build.created_at)
    return connection.scalar(query) or 0


def _nobody_waits(change: Transaction, content_key: str) -> None:
    change.connection.execute(
        update(datasets).where(datasets.c.content_key == content_key).values(waiting=0)
    )


def _set_build(change: Transaction, content_key: str, **values: Any) -> None:
    change.connection.execute(
        update(builds).where(builds.c.content_key == content_key).values(**values)
    )


def _tell_all(change: Transaction, content_key: str, event: Any) -> None:
    for dataset_id in aliases(change.connection, content_key):
        tell(change, event(dataset_id))


# --- events from rows ---


def planned_event(build: Row[Any], dataset_id: str) -> Planned:
    """Return the event that says what will be built."""
    recipe = json.loads(build.recipe)
    return Planned(
        dataset_id=dataset_id,
        content_key=build.content_key,
        config=recipe["config"],
        features=json.loads(build.features)["features"] if build.features else None,
        records=build.records_estimate or 0,
        shards=build.shards or 0,
    )


def ready_event(build: Row[Any], dataset_id: str, public_url: str, *, cached: bool) -> Ready:
    """Return the event that says where the archive is."""
    return Ready(
        dataset_id=dataset_id,
        content_key=build.content_key,
        archive=build.archive,
        url=f"{public_url}/datasets/{build.archive}",
        bytes=build.bytes,
        sha256=build.sha256,
        records=build.records,
        shards=build.shards,
        cached=cached,
    )


def failed_event(dataset_id: str, failure: Failure) -> Failed:
    """Return the event that says why a dataset will not come."""
    return Failed(
        dataset_id=dataset_id,
        reason=failure.reason,
        message=failure.message,
        retryable=failure.retryable,
    )
