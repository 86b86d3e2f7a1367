"""The history of everything that changed in the catalog, in the order of its commits, and a model.

Triggers write it, inside the very transactions that make the changes, so it is whole and linear
whatever happens to the processes. SQLite only.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLE = """
CREATE TABLE IF NOT EXISTS soak_history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, what TEXT, subject TEXT,
    old_state TEXT, new_state TEXT, old_count INTEGER, new_count INTEGER, body TEXT)
"""
_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_COLUMNS = "at, what, subject, old_state, new_state, old_count, new_count, body"
_TRIGGERS = {
    "build_new": f"""AFTER INSERT ON builds BEGIN INSERT INTO soak_history({_COLUMNS}) VALUES
        ({_NOW}, 'build', NEW.content_key, NULL, NEW.state, NULL, NEW.epoch, NULL); END""",
    "build": f"""AFTER UPDATE OF state, epoch ON builds
        WHEN OLD.state <> NEW.state OR OLD.epoch <> NEW.epoch
        BEGIN INSERT INTO soak_history({_COLUMNS}) VALUES ({_NOW}, 'build', NEW.content_key,
        OLD.state, NEW.state, OLD.epoch, NEW.epoch, NEW.sha256); END""",
    "task_new": f"""AFTER INSERT ON tasks BEGIN INSERT INTO soak_history({_COLUMNS}) VALUES
        ({_NOW}, 'task', NEW.task_id, NULL, NEW.state, NULL, NEW.fence, NEW.kind); END""",
    "task": f"""AFTER UPDATE OF state, fence ON tasks
        WHEN OLD.state <> NEW.state OR OLD.fence <> NEW.fence
        BEGIN INSERT INTO soak_history({_COLUMNS}) VALUES ({_NOW}, 'task', NEW.task_id,
        OLD.state, NEW.state, OLD.fence, NEW.fence, NEW.kind); END""",
    "dataset": f"""AFTER UPDATE OF state ON datasets WHEN OLD.state <> NEW.state
        BEGIN INSERT INTO soak_history({_COLUMNS}) VALUES ({_NOW}, 'dataset', NEW.dataset_id,
        OLD.state, NEW.state, NULL, NULL, NULL); END""",
    "request": f"""AFTER INSERT ON requests BEGIN INSERT INTO soak_history({_COLUMNS}) VALUES
        ({_NOW}, 'request', NEW.dataset_id, NULL, NULL, NULL, NULL, NULL); END""",
    "event": f"""AFTER INSERT ON outbox WHEN NEW.exchange = 'dataset.events'
        BEGIN INSERT INTO soak_history({_COLUMNS}) VALUES ({_NOW}, 'event', NEW.routing_key,
        NULL, NULL, NULL, NULL, CAST(NEW.body AS TEXT)); END""",
}

_ACTIVE = {"planning", "building", "packing"}
_ENDED = {"failed", "cancelled"}
_BUILD_STEPS = (
    {("planning", "building"), ("building", "packing"), ("packing", "ready")}
    | {("packing", "building"), ("ready", "evicted")}
    | {(state, end) for state in _ACTIVE for end in _ENDED}
    | {(state, again) for state in (*_ENDED, "evicted", "ready") for again in _ACTIVE}
)
_DATASET_STEPS = {
    ("resolving", "resolved"),
    ("resolving", "failed"),
    ("resolved", "resolving"),
    ("failed", "resolving"),
}
_TASK_STEPS = (
    {("pending", "leased"), ("leased", "pending"), ("leased", "done"), ("leased", "failed")}
    | {("pending", "cancelled"), ("leased", "cancelled")}
    | {(ended, "pending") for ended in ("done", "failed", "cancelled")}
)


@dataclass(frozen=True)
class Change:
    """One change: what it was of, from which state to which, and its epoch or fence."""

    seq: int
    what: str
    subject: str
    old_state: str | None
    new_state: str | None
    old_count: int | None
    new_count: int | None
    body: str | None


def record(catalog: Path) -> None:
    """Write down everything that changes in a catalog from now on."""
    connection = sqlite3.connect(catalog, timeout=30)
    connection.execute(_TABLE)
    for name, trigger in _TRIGGERS.items():
        connection.execute(f"CREATE TRIGGER IF NOT EXISTS soak_{name} {trigger}")
    connection.commit()
    connection.close()


def recorded(catalog: Path) -> list[Change]:
    """Return what was written down, in order."""
    connection = sqlite3.connect(catalog, timeout=30)
    rows = connection.execute(
        "SELECT seq, what, subject, old_state, new_state, old_count, new_count, body "
        "FROM soak_history ORDER BY seq"
    )
    changes = [Change(*row) for row in rows]
    connection.close()
    return changes


def contradictions(changes: list[Change]) -> Iterator[str]:
    """Yield what no history may hold, in words."""
    yield from _of_builds([c for c in changes if c.what == "build"])
    yield from _of_tasks([c for c in changes if c.what == "task"])
    for change in changes:
        if change.what == "dataset" and _step(change) not in _DATASET_STEPS:
            yield f"{change.seq}: dataset {change.subject[:12]}: {_step(change)}"
    yield from _of_answers(changes)


def _step(change: Change) -> tuple[str | None, str | None]:
    return change.old_state, change.new_state


def _of_builds(changes: list[Change]) -> Iterator[str]:
    published: dict[tuple[str, int | None], int] = {}
    digests: dict[str, set[str | None]] = defaultdict(set)
    for change in changes:
        where = f"{change.seq}: build {change.subject[:12]}"
        if change.old_state is None:
            continue
        if change.old_state != change.new_state and _step(change) not in _BUILD_STEPS:
            yield f"{where}: {_step(change)} is no step of a build"
        assert change.old_count is not None and change.new_count is not None
        if change.new_count not in (change.old_count, change.old_count + 1):
            yield f"{where}: epoch {change.old_count} → {change.new_count}"
        if change.new_state == "ready" and change.old_state != "ready":
            epoch = (change.subject, change.new_count)
            if epoch in published:
                yield f"{where}: published twice in epoch {change.new_count}"
            published[epoch] = change.seq
            digests[change.subject].add(change.body)
    for key, found in digests.items():
        if len(found) > 1:
            yield f"build {key[:12]} had different bytes at different times: {found}"


def _of_tasks(changes: list[Change]) -> Iterator[str]:
    done: set[tuple[str, int | None]] = set()
    for change in changes:
        where = f"{change.seq}: {change.body} task {change.subject}"
        if change.old_state is None:
            continue
        assert change.old_count is not None and change.new_count is not None
        if change.old_state != change.new_state and _step(change) not in _TASK_STEPS:
            yield f"{where}: {_step(change)} is no step of a task"
        claimed = _step(change) == ("pending", "leased")
        if change.new_count < change.old_count or (
            claimed and change.new_count == change.old_count
        ):
            yield f"{where}: fence {change.old_count} → {change.new_count} at {_step(change)}"
        if change.new_state == "done":
            if (change.subject, change.new_count) in done:
                yield f"{where}: done twice under fence {change.new_count}"
            done.add((change.subject, change.new_count))


def _of_answers(changes: list[Change]) -> Iterator[str]:
    """Each accepted request is answered later; `ready` is told only of what is ready."""
    unanswered: dict[str, int] = {}
    builds: dict[str, tuple[str | None, str | None]] = {}
    for change in changes:
        if change.what == "build":
            builds[change.subject] = (change.new_state, change.body)
        elif change.what == "request":
            unanswered.setdefault(change.subject, change.seq)
        elif change.what == "event":
            event: dict[str, Any] = json.loads(change.body or "")
            if event["event"] in ("ready", "failed"):
                unanswered.pop(event["dataset_id"], None)
            if event["event"] == "ready":
                state, digest = builds.get(event["content_key"], (None, None))
                if (state, digest) != ("ready", event["sha256"]):
                    yield f"{change.seq}: ready was told of a build that is {state}, {digest}"
    for dataset_id, seq in unanswered.items():
        yield f"{seq}: the request for {dataset_id[:12]} was never answered"
