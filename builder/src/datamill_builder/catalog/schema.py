"""The catalog's tables.

The catalog is the truth: which requests were accepted, what became of them, who works on what.
Times (`_at`) are seconds since the epoch, for people to read; no decision about work or answers
rests on them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 3
"""With each new one goes a step in `upgrade.py`, and what the version before wrote as a test."""

metadata = MetaData()

_Serial = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("message_id", String(255), nullable=False),
    Column("dataset_id", String(64), nullable=False, index=True),
    Column("accepted_at", Float, nullable=False, index=True),
    Column("client", String(128)),
    UniqueConstraint("message_id", "dataset_id"),
)
"""The log of accepted requests, which replay reads. `client`: who asked, where it was said."""

datasets = Table(
    "datasets",
    metadata,
    Column("dataset_id", String(64), primary_key=True),
    Column("dataset_name", String(64), nullable=False, index=True),
    Column("handler_version", String(64), nullable=False),
    Column("config", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("content_key", String(64), ForeignKey("builds.content_key"), index=True),
    Column("raw_marks", Text),
    Column("waiting", Integer, nullable=False, default=0),
    Column("reason", String(32)),
    Column("message", Text),
    Column("retryable", Boolean),
    Column("failed_at", Float),
    Column("created_at", Float, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("trace", String(255)),
    Column("meant", String(64)),
)
"""One row per dataset id. `raw_marks`: by what a change of its raw data shows at a glance;
`trace`: the W3C trace context of the request that it is built for; `meant`: the content key that
it had last, while it has none."""

builds = Table(
    "builds",
    metadata,
    Column("content_key", String(64), primary_key=True),
    Column("dataset_name", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("epoch", Integer, nullable=False, default=1),
    Column("recipe", Text, nullable=False),
    Column("features", Text),
    Column("records_estimate", BigInteger),
    Column("items", BigInteger),
    Column("shards", Integer),
    Column("archive", String(255)),
    Column("bytes", BigInteger),
    Column("sha256", String(64)),
    Column("records", BigInteger),
    Column("archive_mark", String(128)),
    Column("reason", String(32)),
    Column("message", Text),
    Column("retryable", Boolean),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("scrubbed_at", Float),
    Column("turn", BigInteger),
    Column("pinned_at", Float),
    Column("read_at", Float),
    Column("told_at", Float),
)
"""One row per content key. `recipe`: all that its shards are made from, as JSON; `scrubbed_at`:
when somebody last set out to read its archive for no other reason than to see if it is sound;
`turn`: counts builds as they begin, or begin again; `pinned_at`: since when it is not to be
evicted; `read_at`: when somebody last fetched a shard of its archive, give or take a minute;
`told_at`: when somebody was last told that it is ready by a state, or by a dataset id that means
something else by now."""

shards = Table(
    "shards",
    metadata,
    Column("content_key", String(64), ForeignKey("builds.content_key"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("split", String(64), nullable=False),
    Column("plan_offset", BigInteger, nullable=False),
    Column("plan_bytes", BigInteger, nullable=False),
    Column("file", String(128)),
    Column("records", BigInteger),
    Column("bytes", BigInteger),
    Column("sha256", String(64)),
    Column("skipped", Text),
    Column("secs", Float),
    Column("archive_offset", BigInteger),
)
"""What each shard holds: its slice of the plan, and, once done, its file."""

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", _Serial, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("number", Integer, nullable=False, default=0),
    Column("state", String(16), nullable=False),
    Column("fence", Integer, nullable=False, default=0),
    Column("beat", Integer, nullable=False, default=0),
    Column("owner", String(64)),
    Column("attempts", Integer, nullable=False, default=0),
    Column("error", Text),
    UniqueConstraint("kind", "subject", "number"),
    Index("tasks_by_state", "state", "kind", "subject", "number"),
)
"""Leased work. `fence` counts owners, `beat` an owner's signs of life."""

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("message_id", String(64), nullable=False, unique=True),
    Column("exchange", String(64), nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("mandatory", Boolean, nullable=False),
    Column("headers", Text),
)
"""What has to be published, written with the change that it tells of; a row goes when confirmed.
`headers`: its AMQP headers as JSON, where it has any."""

environments = Table(
    "environments",
    metadata,
    Column("release", String(64), primary_key=True),
    Column("handler", String(64), nullable=False),
    Column("handler_version", String(64), nullable=False),
    Column("package", String(128), nullable=False),
    Column("package_version", String(64), nullable=False),
    Column("entry_point", String(255), nullable=False),
    Column("wheel", String(255), nullable=False),
    Column("wheel_sha256", String(64), nullable=False),
    Column("origin", Text, nullable=False),
    Column("lock", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)
"""A handler release, resolved once to exact packages with hashes."""

raw_files = Table(
    "raw_files",
    metadata,
    Column("folder", String(1024), primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("mark", String(128), nullable=False),
    Column("sha256", String(64), nullable=False),
)
"""Digests of raw files, valid as long as size, modification time and inode stay the same."""

downloads = Table(
    "downloads",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("content_key", String(64), nullable=False, index=True),
    Column("bytes", BigInteger, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("server", String(64)),
)
"""Who fetched what, without who. `server`: the notifier that sends it."""

raw_versions = Table(
    "raw_versions",
    metadata,
    Column("folder", String(1024), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("first_seen_at", Float, nullable=False),
    Column("last_seen_at", Float, nullable=False),
)
"""The versions of raw data that were seen, by the digest that goes into content keys."""

builders = Table(
    "builders",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("workers", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("stopped_at", Float),
)
"""Builders as they last told of themselves. `name`: the owner of tasks."""

counters = Table(
    "counters",
    metadata,
    Column("part", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("labels", String(255), primary_key=True),
    Column("value", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)
"""What parts without an HTTP server count: for `/metrics`. `labels`: a JSON object, sorted."""

hook_calls = Table(
    "hook_calls",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("hook", String(255), nullable=False),
    Column("event", String(16), nullable=False),
    Column("dataset_id", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", Float, nullable=False),
    Column("error", Text),
    Column("created_at", Float, nullable=False),
)
"""What hooks have to be told, written with the change that it tells of."""
