"""The life of a request: what each step changes in the catalog, and what it tells.

Every function works inside one transaction: state and messages change together or not at all.
"""

from datamill_builder.catalog.lifecycle.endings import build_failed, cancel, evicted, work_failed
from datamill_builder.catalog.lifecycle.find import (
    aliases,
    asked_by,
    builds_before,
    find_build,
    find_dataset,
    find_shard,
    find_shards,
    finished,
    hold_aliases,
    hold_build,
    hold_dataset,
    public_url,
    skipping_shards,
)
from datamill_builder.catalog.lifecycle.keeping import forget_files, pin, unpin
from datamill_builder.catalog.lifecycle.making import (
    classic_done,
    forget_shards,
    mark_archive,
    pack_done,
    pack_found_damage,
    scrubbed,
    shard_done,
)
from datamill_builder.catalog.lifecycle.requested import (
    REPEATED_FAILURE_SECS,
    REPEATED_QUESTION_SECS,
    accept_new,
    answer_failed,
    answer_ready,
    forget_marks,
    log_requests,
    resolve_again,
    wait_for,
)
from datamill_builder.catalog.lifecycle.resolving import (
    answer_resolved,
    build_again,
    plan_done,
    resolve_failed,
    resolved,
)
from datamill_builder.catalog.lifecycle.results import (
    ArchiveResult,
    Failure,
    PlannedShard,
    ShardResult,
    storable,
)
from datamill_builder.catalog.lifecycle.told import failed_event, planned_event, ready_event

__all__ = [
    "ArchiveResult",
    "Failure",
    "PlannedShard",
    "REPEATED_FAILURE_SECS",
    "REPEATED_QUESTION_SECS",
    "ShardResult",
    "accept_new",
    "aliases",
    "answer_failed",
    "answer_ready",
    "answer_resolved",
    "asked_by",
    "build_again",
    "build_failed",
    "builds_before",
    "cancel",
    "classic_done",
    "evicted",
    "failed_event",
    "find_build",
    "find_dataset",
    "find_shard",
    "find_shards",
    "skipping_shards",
    "finished",
    "forget_files",
    "forget_marks",
    "forget_shards",
    "hold_aliases",
    "hold_build",
    "hold_dataset",
    "log_requests",
    "mark_archive",
    "pack_done",
    "pack_found_damage",
    "pin",
    "plan_done",
    "planned_event",
    "public_url",
    "ready_event",
    "resolve_again",
    "resolve_failed",
    "resolved",
    "scrubbed",
    "shard_done",
    "storable",
    "unpin",
    "wait_for",
    "work_failed",
]
