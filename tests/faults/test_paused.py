"""A builder is paused for longer than its leases, and wakes up again (fault 7)."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datamill_builder.catalog import lifecycle, views
from datamill_builder.catalog.states import TaskKind, TaskState
from tests.support.builder import BuilderProcess, Start
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient
from tests.support.toy import write_items

LEASE_SECS = 2.0
SHORT = {"DATAMILL_LEASE_SECS": str(LEASE_SECS)}
SHARD_POINTS = ("shard.written", "shard.kept")
# The rests let other threads end the changes that they make when the last shard is there.
PACK_POINTS = ["pack.entry:rest@1", "pack.entry:stop@2", "pack.entry:rest@3", "pack.entry:stop@4"]
TOOK_NO_OFFENCE = "was given to another owner"


def _leases_lost(builder: BuilderProcess) -> int:
    catalog = builder.catalog
    with catalog.read() as connection:
        lost = views.numbers(connection).leases_lost
    catalog.close()
    return lost


# A process that is paused in the middle of a change keeps SQLite's lock, and everybody waits for
# it. So that no other thread of the sleeper has it, the test takes the lock at the stops before
# (`-`), and gives it back at the one that counts (`!`).
STOPS = {
    "shard.kept": ("-!" * 5, [f"{p}:stop@{n}" for n in range(1, 6) for p in SHARD_POINTS]),
    "pack.synced": ("--!", [*PACK_POINTS, "pack.synced:stop"]),
}


def _wait_asleep(sleeper: BuilderProcess, point: str) -> None:
    catalog = sqlite3.connect(sleeper.home / "catalog.sqlite", timeout=0.5, isolation_level=None)
    with contextlib.closing(catalog):
        for stop in STOPS[point][0]:
            sleeper.wait_stopped()
            if stop == "!" and catalog.in_transaction:
                return
            if not catalog.in_transaction:
                with contextlib.suppress(sqlite3.OperationalError):
                    catalog.execute("BEGIN IMMEDIATE")
            sleeper.signal(signal.SIGCONT)
    raise AssertionError("it was in the middle of a change each time")


def _awake(sleeper: BuilderProcess, until: Callable[[], bool]) -> None:
    """Keep it awake until something has come true: it may come to more points where it stops."""
    deadline = time.monotonic() + 60.0
    while not until():
        sleeper.signal(signal.SIGCONT)
        assert time.monotonic() < deadline, sleeper.log()
        time.sleep(0.02)


def _was_told(trainer: PlainClient, dataset_id: str) -> bool:
    trainer.listen(0.05)
    return "ready" in trainer.seen(dataset_id)


def _pause(builder: BuilderProcess) -> None:
    """Pause it in no change to the catalog: the test has the lock at that moment."""
    catalog = sqlite3.connect(builder.home / "catalog.sqlite", timeout=30.0, isolation_level=None)
    with contextlib.closing(catalog):
        catalog.execute("BEGIN IMMEDIATE")
        builder.signal(signal.SIGSTOP)
        builder.wait_stopped()


@pytest.mark.fault(7, "builder paused for three leases while its handler writes a shard")
def test_a_paused_owner_throws_its_work_away_and_lives_on(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    write_items(home / "raw", ["sleep 4.0 zzz", "item", "item", "item"])
    sleeper = start_builder(home, **SHORT)
    trainer = client()
    dataset_id = trainer.ask("toy")
    sleeper.wait_logged("writing")
    _pause(sleeper)
    (before,) = sleeper.tasks(TaskKind.SHARD)
    fault.injected()
    other = start_builder(home, **SHORT)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    assert secs > LEASE_SECS, "nobody takes the work of an owner that is only late"
    (after,) = other.tasks(TaskKind.SHARD)
    assert (after.fence, after.state) == (before.fence + 1, TaskState.DONE)
    assert _leases_lost(other) == 1
    while time.monotonic() < fault.injected_at + 3 * LEASE_SECS:
        trainer.listen(0.1)
    sleeper.signal(signal.SIGCONT)
    sleeper.wait_logged(TOOK_NO_OFFENCE)
    assert [path.name for path in other.archives()] == [ready["archive"]]
    other.stop()
    assert trainer.wait(trainer.ask("toy", config={"prefix": "after"}))["event"] == "ready"
    fault.watch(sleeper, trainer)
    fault.saw(
        f"fence {before.fence} → {after.fence}, ready {secs:.1f} s after; the sleeper found its "
        "fence stale, and built the next dataset; 1 lease lost in the metrics"
    )


@pytest.mark.parametrize("point", ["shard.kept", "pack.synced"])
@pytest.mark.fault(7, "builder paused at the worst moment, and woken when all is over")
def test_what_a_sleeper_renames_changes_nothing(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    point: str,
    undisturbed: str,
) -> None:
    failpoints = ",".join(STOPS[point][1])
    sleeper = start_builder(home, DATAMILL_FAILPOINT=failpoints, DATAMILL_WORKERS="1", **SHORT)
    trainer = client()
    dataset_id = trainer.ask("toy")
    _wait_asleep(sleeper, point)
    fault.injected()
    other = start_builder(home, **SHORT)
    ready = trainer.wait(dataset_id)
    secs = fault.recovered()
    assert ready["sha256"] == undisturbed
    (archive,) = other.archives()
    announced = archive.stat()
    _awake(sleeper, lambda: TOOK_NO_OFFENCE in sleeper.log())
    now = archive.stat()
    assert (now.st_ino, now.st_mtime_ns) == (announced.st_ino, announced.st_mtime_ns), "untouched"
    assert trainer.seen(dataset_id).count("ready") == 1
    other.stop()
    again = trainer.ask("toy", config={"prefix": "after"})
    _awake(sleeper, lambda: _was_told(trainer, again))
    fault.watch(sleeper, trainer)
    fault.saw(f"at {point}: the same bytes by another, {secs:.1f} s after; the sleeper lives on")


@pytest.mark.parametrize("point", ["pack.synced"])
@pytest.mark.fault(7, "builder paused while it publishes what is cancelled meanwhile")
def test_what_was_cancelled_is_not_published_by_a_sleeper(
    home: Path, start_builder: Start, client: Connect, fault: Fault, point: str
) -> None:
    failpoints = ",".join(STOPS[point][1])
    sleeper = start_builder(home, DATAMILL_FAILPOINT=failpoints, DATAMILL_WORKERS="1", **SHORT)
    trainer = client()
    dataset_id = trainer.ask("toy")
    _wait_asleep(sleeper, point)
    fault.injected()
    other = start_builder(home, **SHORT)
    catalog = other.catalog
    with catalog.write() as change:
        assert lifecycle.cancel(change, dataset_id)
    catalog.close()
    assert trainer.wait(dataset_id)["reason"] == "cancelled"
    _awake(sleeper, lambda: TOOK_NO_OFFENCE in sleeper.log())
    secs = fault.recovered()
    assert other.archives() == [], "nothing is published that the catalog does not know"
    fault.watch(other, trainer)
    fault.saw(f"at {point}: nothing was published, {secs:.1f} s")
