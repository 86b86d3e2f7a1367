"""The states of tasks, datasets and builds, and the moves between them.

Each move is made by one function of this package, which the tables name. They make it with
`moves.move`, the only place where a state is written over: the database itself checks there that
a row still is where it has to come from.

Shards have no states of their own. A shard is made or not (it has a digest or none); the work on
it is a task, and tasks have states.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class TaskKind(StrEnum):
    """A piece of work that one owner at a time may do."""

    RESOLVE = "resolve"
    """From a request to a content key: handler release, environment, config, raw data version."""
    PLAN = "plan"
    """From a content key to shards."""
    SHARD = "shard"
    """One shard."""
    PACK = "pack"
    """From shards to the archive."""


class TaskState(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    """Anybody may claim it."""
    LEASED = "leased"
    """Somebody does it, and shows signs of life."""
    DONE = "done"
    """Its result is in the catalog."""
    FAILED = "failed"
    """Its attempts are used up, or it can't succeed."""
    CANCELLED = "cancelled"
    """Nobody wants it any more."""


class DatasetState(StrEnum):
    """Where a dataset id stands."""

    RESOLVING = "resolving"
    """Its content key is not known yet."""
    RESOLVED = "resolved"
    """It is an alias of a build, whose state is its state."""
    FAILED = "failed"
    """It has no content key: the request can't be met."""


class BuildState(StrEnum):
    """Where a build stands."""

    PLANNING = "planning"
    """Its source items are being listed and cut into shards."""
    BUILDING = "building"
    """Its shards are being made."""
    PACKING = "packing"
    """Its shards are there; the archive is being put together."""
    READY = "ready"
    """The archive is there and whole."""
    FAILED = "failed"
    """It did not come about; its finished shards are kept for the next time."""
    CANCELLED = "cancelled"
    """Somebody stopped it; its finished shards are kept for the next time."""
    EVICTED = "evicted"
    """The archive was removed to make room."""


class HookCallState(StrEnum):
    """Where the call of a hook stands."""

    PENDING = "pending"
    """It is to be made, or made again, when it is due; or somebody makes it just now."""
    DONE = "done"
    """The hook was told."""
    GIVEN_UP = "given_up"
    """Its attempts are used up, or it can't succeed; somebody may have it made again."""


ACTIVE_BUILDS = (BuildState.PLANNING, BuildState.BUILDING, BuildState.PACKING)
ACTIVE_TASKS = (TaskState.PENDING, TaskState.LEASED)
ENDED_TASKS = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)

TASK_MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    # `claim`; `cancel_all`
    TaskState.PENDING: frozenset({TaskState.LEASED, TaskState.CANCELLED}),
    # `complete`; `hand_back`, `try_again`, `take_from`; `fail`; `cancel_all`
    TaskState.LEASED: frozenset(
        {TaskState.DONE, TaskState.PENDING, TaskState.FAILED, TaskState.CANCELLED}
    ),
    # `ensure`: what it made is gone, or is asked for once more
    TaskState.DONE: frozenset({TaskState.PENDING}),
    # `ensure`, `restart_unfinished`
    TaskState.FAILED: frozenset({TaskState.PENDING}),
    TaskState.CANCELLED: frozenset({TaskState.PENDING}),
}
"""From each state of a task to those that can follow. The fence is the guard: a claim raises it,
and so does `cancel_all`; who is not the holder, or holds it for an older epoch, moves nothing."""

DATASET_MOVES: Mapping[DatasetState, frozenset[DatasetState]] = {
    # `resolved`; `resolve_failed`, `cancel`
    DatasetState.RESOLVING: frozenset({DatasetState.RESOLVED, DatasetState.FAILED}),
    # `resolve_again`
    DatasetState.RESOLVED: frozenset({DatasetState.RESOLVING}),
    DatasetState.FAILED: frozenset({DatasetState.RESOLVING}),
}
"""From each state of a dataset id to those that can follow. It has a content key while, and only
while, it is resolved."""

BUILD_MOVES: Mapping[BuildState, frozenset[BuildState]] = {
    # `plan_done`; `build_failed`, `work_failed`; `cancel`
    BuildState.PLANNING: frozenset({BuildState.BUILDING, BuildState.FAILED, BuildState.CANCELLED}),
    # `pack_when_complete`; ends as above
    BuildState.BUILDING: frozenset({BuildState.PACKING, BuildState.FAILED, BuildState.CANCELLED}),
    # `pack_done`; `pack_found_damage`; ends as above
    BuildState.PACKING: frozenset(
        {BuildState.READY, BuildState.BUILDING, BuildState.FAILED, BuildState.CANCELLED}
    ),
    # `evicted`; `build_again`, where the archive is not what it was
    BuildState.READY: frozenset({BuildState.EVICTED, BuildState.BUILDING}),
    # `build_again`, which is where a new epoch begins: planned already, or not yet
    BuildState.FAILED: frozenset({BuildState.PLANNING, BuildState.BUILDING}),
    BuildState.CANCELLED: frozenset({BuildState.PLANNING, BuildState.BUILDING}),
    BuildState.EVICTED: frozenset({BuildState.BUILDING}),
}
"""From each state of a build to those that can follow. The epoch is the guard: it counts how
often the build was begun, and what was claimed in an older one moves nothing."""

HOOK_CALL_MOVES: Mapping[HookCallState, frozenset[HookCallState]] = {
    # `called`; `give_up`, `give_up_unended`
    HookCallState.PENDING: frozenset({HookCallState.DONE, HookCallState.GIVEN_UP}),
    HookCallState.DONE: frozenset(),
    # `call_again`
    HookCallState.GIVEN_UP: frozenset({HookCallState.PENDING}),
}
"""From each state of a hook's call to those that can follow. The number of its attempts is the
guard: a claim raises it, and who made an earlier attempt moves nothing."""
