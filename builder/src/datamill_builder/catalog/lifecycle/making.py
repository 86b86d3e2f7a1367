"""Shards are made, and packed."""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from datamill.events import Event, ShardDone
from datamill_builder.catalog import tasks
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.changes import move_build, nobody_waits, tell_all
from datamill_builder.catalog.lifecycle.find import (
    find_build,
    hold_build,
)
from datamill_builder.catalog.lifecycle.results import (
    ArchiveResult,
    ShardResult,
)
from datamill_builder.catalog.lifecycle.told import ready_event
from datamill_builder.catalog.schema import builds, shards
from datamill_builder.catalog.states import BuildState, TaskKind


def shard_done(
    change: Transaction, claim: tasks.Claim, result: ShardResult, public_url: str
) -> None:
    """Record a finished shard; the last one makes the build ready for packing."""
    # Held from the start: of two last shards, one has to see the other.
    build = hold_build(change, claim.subject)
    assert build is not None
    tasks.complete(change, claim)
    _record_shard(change, build, claim.index, result, public_url)
    pack_when_complete(change, claim.subject, claim.epoch)


def _record_shard(
    change: Transaction, build: Row[Any], index: int, result: ShardResult, public_url: str
) -> None:
    key = build.content_key
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
            skipped=len(result.skipped),
        )

    tell_all(change, key, event)


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
    hold_build(change, key)
    change.connection.execute(
        delete(shards).where(shards.c.content_key == key, shards.c.number > 0)
    )
    if rows:
        change.connection.execute(shards.insert(), rows)
    said = json.dumps({"features": features, "labels": {}}) if features else None
    records = sum(result.records for result in results)
    change.connection.execute(
        update(builds)
        .where(builds.c.content_key == key)
        .values(shards=len(results), records_estimate=records, features=said)
    )
    build = find_build(change.connection, key)
    assert build is not None
    for index in rest:
        _record_shard(change, build, index, results[index], public_url)
    shard_done(change, claim, results[0], public_url)


def pack_when_complete(change: Transaction, content_key: str, epoch: int | None) -> None:
    """Building → packing, if no shard is missing."""
    missing = change.connection.scalar(
        select(func.count()).where(shards.c.content_key == content_key, shards.c.sha256.is_(None))
    )
    if not missing:
        move_build(change, content_key, BuildState.BUILDING, BuildState.PACKING, epoch)
        tasks.ensure(change, TaskKind.PACK, content_key)


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
        tasks.ensure(change, TaskKind.SHARD, content_key, index)


def pack_found_damage(change: Transaction, claim: tasks.Claim, indexes: list[int]) -> None:
    """Packing → building: some shards' files are gone or damaged."""
    key = claim.subject
    hold_build(change, key)
    tasks.complete(change, claim)
    move_build(change, key, BuildState.PACKING, BuildState.BUILDING, claim.epoch)
    forget_shards(change, key, indexes)


def pack_done(
    change: Transaction, claim: tasks.Claim, archive: ArchiveResult, records: int, public_url: str
) -> None:
    """Packing → ready.

    The caller moves the archive to its public name in the same change, after this: as long as
    the change is open, nobody else can have begun, or ended, the build anew.
    """
    key = claim.subject
    hold_build(change, key)
    tasks.complete(change, claim)
    for index, offset in enumerate(archive.offsets):
        change.connection.execute(
            update(shards)
            .where(shards.c.content_key == key, shards.c.number == index)
            .values(archive_offset=offset, file=None)
        )
    move_build(
        change,
        key,
        BuildState.PACKING,
        BuildState.READY,
        claim.epoch,
        archive=archive.name,
        bytes=archive.bytes,
        sha256=archive.sha256,
        archive_mark=archive.mark,
        records=records,
        ended_at=time.time(),
    )
    build = find_build(change.connection, key)
    assert build is not None
    tell_all(change, key, lambda id_: ready_event(build, id_, public_url, cached=False))
    nobody_waits(change, key)


def mark_archive(change: Transaction, build: Row[Any], mark: str | None) -> None:
    """Note by what the archive's file, whose bytes were just checked, is known again.

    None where they are not what they were: it is looked at when it is asked for. Nothing where
    it is another archive by now than that of `build`.
    """
    table = builds.c
    change.connection.execute(
        update(builds)
        .where(table.content_key == build.content_key, table.epoch == build.epoch)
        .where(table.state == BuildState.READY)
        .values(archive_mark=mark)
    )


def scrubbed(change: Transaction, build: Row[Any], at: float | None) -> bool:
    """Note when somebody set out to read the archive of a build.

    Returns False where somebody else did since the catalog was as in `build`.
    """
    table = builds.c
    done = change.connection.execute(
        update(builds)
        .where(table.content_key == build.content_key, table.epoch == build.epoch)
        .where(table.scrubbed_at.is_not_distinct_from(build.scrubbed_at))
        .values(scrubbed_at=at)
    )
    return done.rowcount == 1
