"""Everything that is counted by builders and told by `/metrics`."""

from __future__ import annotations

from datamill.events import Reason
from datamill_builder.catalog.counters import Counted

MINUTE, HOUR = 60.0, 3600.0

REQUEST_OUTCOMES = Counted(
    "request_outcomes",
    "Requests by what became of them when they came in.",
    "outcome",
    ("new", "again", "merged", "hit", "failed", "repeated", "refused"),
)
BUILDS_MERGED = Counted(
    "builds_merged",
    "Dataset ids that turned out to mean a build that was there already.",
    "found",
    ("running", "ready"),
)
BUILD_SECS = Counted(
    "build_seconds",
    "From the plan to the archive.",
    buckets=(
        *(1.0, 5.0, 15.0, MINUTE, 5 * MINUTE, 15 * MINUTE),
        *(HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR),
    ),
)
FAILURES = Counted(
    "failures",
    "Builds and requests that failed.",
    "reason",
    tuple(reason.value for reason in Reason),
)
SHARD_SECS = Counted(
    "shard_seconds",
    "From the claim of a shard to its file.",
    buckets=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR),
)
RECORDS = Counted("records", "Records of the shards that were made.")
SHARD_BYTES = Counted("shard_bytes", "Bytes of the shards that were made.")
ITEMS_SKIPPED = Counted("source_items_skipped", "Source items that were bad, and left out.")
HANDLER_STARTS = Counted("handler_starts", "Handler processes that were begun.")
HANDLER_ENDS = Counted(
    "handler_ends",
    "Handler processes that were lost while they worked.",
    "cause",
    ("died", "timeout", "stopped"),
)
ENVIRONMENT_SECS = Counted(
    "environment_seconds",
    "Making a handler environment.",
    buckets=(0.3, 1.0, 3.0, 10.0, 30.0, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE),
)
ENVIRONMENT_FAILURES = Counted("environment_failures", "Handler environments that were not made.")
BUILDER_CPU_SECS = Counted(
    "builder_cpu_seconds", "Processor time of builders and of what they started and has ended."
)
DEAD_LETTERS = Counted("dead_letters", "Messages in the queue of dead letters.", is_level=True)

ALL = (
    REQUEST_OUTCOMES,
    BUILDS_MERGED,
    BUILD_SECS,
    FAILURES,
    SHARD_SECS,
    RECORDS,
    SHARD_BYTES,
    ITEMS_SKIPPED,
    HANDLER_STARTS,
    HANDLER_ENDS,
    ENVIRONMENT_SECS,
    ENVIRONMENT_FAILURES,
    BUILDER_CPU_SECS,
    DEAD_LETTERS,
)
