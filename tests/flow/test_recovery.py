"""Builders that are killed, stopped, paused; builds that are cancelled; queues deleted."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

from sqlalchemy import select

from datamill_builder.catalog import schema, tasks
from tests.support.builder import BuilderProcess, Start
from tests.support.listener import Connect, PlainClient
from tests.support.toy import write_items


def test_a_killed_builder_costs_the_shards_in_hand_only(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", [f"item {n}" for n in range(40)] + ["sleep 1.5 zzz"] * 8)
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    for _ in range(3):
        seen = len(trainer.events)
        trainer.wait(dataset_id, "shard", after=seen)
    builder.kill()
    catalog = builder.catalog
    with catalog.read() as connection:
        done = tasks.count(connection, tasks.TaskKind.SHARD, _key(trainer), tasks.TaskState.DONE)
    builder.start()
    ready = trainer.wait(dataset_id)
    with catalog.read() as connection:
        attempts = connection.scalars(
            select(schema.tasks.c.attempts).where(schema.tasks.c.kind == "shard")
        ).all()
    catalog.close()
    assert ready["event"] == "ready"
    assert ready["records"] == 48
    assert done >= 3
    assert sum(attempts) <= len(attempts) + 2, "only what was in hand was done again"


def _key(trainer: PlainClient) -> str:
    planned = next(event for event in trainer.events if event["event"] == "planned")
    return str(planned["content_key"])


def test_a_stopping_builder_hands_back_and_exits_0(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 30 zzz"] * 2)
    builder = start_builder(home, DATAMILL_STOP_GRACE_SECS="0.5")
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "planned")
    began = time.monotonic()
    _until_leased(builder)
    assert builder.stop() == 0
    assert time.monotonic() - began < 12
    catalog = builder.catalog
    with catalog.read() as connection:
        rows = connection.execute(
            select(schema.tasks.c.state, schema.tasks.c.attempts).where(
                schema.tasks.c.kind == "shard"
            )
        ).all()
    catalog.close()
    assert [tuple(row) for row in rows] == [("pending", 0)]


def _until_leased(builder: BuilderProcess, timeout_secs: float = 20.0) -> None:
    catalog = builder.catalog
    deadline = time.monotonic() + timeout_secs
    while time.monotonic() < deadline:
        with catalog.read() as connection:
            if any(task for task in tasks.leased(connection)):
                catalog.close()
                return
        time.sleep(0.02)
    raise AssertionError("no shard was claimed")


def _pause_between_writes(builder: BuilderProcess) -> None:
    """Stop a builder while it does not hold SQLite's one lock: else nobody could write."""
    assert builder.process is not None
    for _ in range(20):
        builder.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, builder.process.pid, os.WSTOPPED)
        if _writable(builder.home / "catalog.sqlite"):
            return
        builder.signal(signal.SIGCONT)
    raise AssertionError("it was in a write each time")


def _writable(database: Path) -> bool:
    with contextlib.closing(sqlite3.connect(database, timeout=1.0)) as probe:
        try:
            probe.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


def test_a_paused_builder_cannot_publish_what_another_has_done(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 2 zzz"])
    settings = {"DATAMILL_LEASE_SECS": "1.5", "DATAMILL_WORKERS": "1"}
    paused = start_builder(home, **settings)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "planned")
    _until_leased(paused)
    _pause_between_writes(paused)
    other = start_builder(home, **settings)
    ready = trainer.wait(dataset_id)
    assert ready["event"] == "ready"
    paused.signal(signal.SIGCONT)
    trainer.listen(4.0)
    assert trainer.seen(dataset_id).count("ready") == 1
    assert trainer.seen(dataset_id).count("shard") == 1
    assert paused.process is not None and paused.process.poll() is None, "it lives on"
    other.stop()
    assert trainer.wait(trainer.ask("toy", config={"prefix": "new"}))["event"] == "ready"


def test_a_small_build_is_not_starved_by_a_large_one(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 0.3 zzz"] * 400)
    start_builder(home)
    trainer = client()
    large = trainer.ask("toy")
    trainer.wait(large, "shard")
    small = trainer.ask("toy", config={"max_items": 2})
    assert trainer.wait(small, timeout_secs=30)["event"] == "ready"
    assert "ready" not in trainer.seen(large)


def test_a_cancelled_build_is_told_and_goes_on_when_asked_again(
    home: Path, start_builder: Start, client: Connect
) -> None:
    from datamill_builder.catalog import lifecycle

    write_items(home / "raw", [f"item {n}" for n in range(12)] + ["sleep 2 zzz"] * 4)
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    catalog = builder.catalog
    with catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    failed = trainer.wait(dataset_id, "failed")
    assert (failed["reason"], failed["retryable"]) == ("cancelled", True)
    trainer.listen(1.2)  # a request within a second of a failure came for the same try
    done_before = trainer.seen(dataset_id).count("shard")
    seen = len(trainer.events)
    trainer.ask("toy")
    assert trainer.wait(dataset_id, after=seen)["event"] == "ready"
    assert trainer.seen(dataset_id).count("shard") <= 4 + 1
    assert done_before >= 1
    catalog.close()


def test_deleting_every_queue_costs_only_time(
    home: Path, start_builder: Start, client: Connect
) -> None:
    write_items(home / "raw", ["sleep 0.3 zzz"] * 40)
    start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    for queue in ("dataset.shards.v1", "dataset.builds.v1", "dataset.requests.v1"):
        trainer._channel.queue_delete(queue)
    assert trainer.wait(dataset_id, timeout_secs=60)["event"] == "ready"
