"""The states of tasks, datasets and builds. Each transition is one function of this package."""

from __future__ import annotations

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


ACTIVE_BUILDS = (BuildState.PLANNING, BuildState.BUILDING, BuildState.PACKING)
ENDED_TASKS = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)
