"""A builder is told to stop, politely and impatiently (faults 8 and 9)."""

from __future__ import annotations

import hashlib
import signal
import time
from pathlib import Path

import pytest

from datamill import exits
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_producer.up.descendants import descendants
from tests.support.builder import BuilderProcess, Start, process_state
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.toy import write_items

IMPATIENT_SECS = 2.0
GRACE_SECS = 10.0


def _shards_in_work(builder: BuilderProcess) -> list[int]:
    tasks = builder.tasks(TaskKind.SHARD)
    return [task.attempts for task in tasks if task.state == TaskState.LEASED]


def _wait_at_work(builder: BuilderProcess, shards: int) -> set[int]:
    """Return the handlers' process ids once so many shards wait in the middle."""
    builder.wait_logged("doing wait", shards)
    assert len(_shards_in_work(builder)) == shards
    assert builder.process is not None
    return set(descendants(builder.process.pid))


def _end(builder: BuilderProcess, timeout_secs: float) -> tuple[int, float]:
    """Return the exit code, and the seconds until it came."""
    assert builder.process is not None
    began = time.monotonic()
    code = builder.process.wait(timeout_secs)
    return code, time.monotonic() - began


def _wait_gone(pids: set[int], timeout_secs: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_secs
    while left := {pid for pid in pids if process_state(pid) not in "XZ"}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


@pytest.mark.fault(8, "SIGTERM while two shards of 60 s are written, with 10 s of grace")
def test_shards_in_hand_are_handed_back_after_the_grace(
    mischief_home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    home = mischief_home
    write_items(home / "raw", ["once wait 60", "item", "item", "item"])
    builder = start_builder(home)
    trainer = client()
    asked = [trainer.ask("toy", config={"prefix": prefix}) for prefix in "ab"]
    handlers = _wait_at_work(builder, 2)
    builder.signal(signal.SIGTERM)
    fault.injected()
    code, secs = _end(builder, 60.0)
    assert code == 0
    assert GRACE_SECS <= secs <= GRACE_SECS + 4.0  # 1.6 s, with 25 processes waiting for 2 cores
    _wait_gone(handlers)
    shards = builder.tasks(TaskKind.SHARD)
    assert {task.state for task in shards} == {TaskState.PENDING}
    assert {task.attempts for task in shards} == {0}, "to be stopped is no attempt"
    again = start_builder(home)
    assert [trainer.wait(dataset_id)["event"] for dataset_id in asked] == ["ready", "ready"]
    fault.recovered()
    fault.watch(again, trainer)
    fault.saw(f"exit code 0 after {secs:.1f} s, both shards pending with 0 attempts, then ready")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.fault(9, "a second signal while a stopping builder waits for its shards")
def test_the_second_signal_ends_it_at_once(
    mischief_home: Path, start_builder: Start, client: Connect, fault: Fault, second: signal.Signals
) -> None:
    home = mischief_home
    write_items(home / "raw", ["once wait 60", "item", "item", "item"])
    builder = start_builder(home, DATAMILL_STOP_GRACE_SECS="60")
    trainer = client()
    dataset_id = trainer.ask("toy")
    handlers = _wait_at_work(builder, 1)
    builder.signal(signal.SIGTERM)
    builder.wait_logged("told to stop")
    fault.injected()
    builder.signal(second)
    code, secs = _end(builder, 60.0)
    assert code == exits.INTERRUPTED
    assert secs < IMPATIENT_SECS
    _wait_gone(handlers, timeout_secs=IMPATIENT_SECS)
    assert builder.archives() == [], "nothing is published that is not finished"
    assert not list((home / "store" / "shards").glob("*/*"))
    again = start_builder(home)
    assert trainer.wait(dataset_id)["event"] == "ready"
    fault.recovered()
    fault.watch(again, trainer)
    (shard,) = again.tasks(TaskKind.SHARD)
    assert shard.attempts == 2
    fault.saw(f"{second.name}: gone after {secs:.2f} s with code {code}, its handlers too; ready")


@pytest.mark.fault(9, "two signals while an archive is packed")
def test_the_second_signal_leaves_no_half_archive(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    # Paused by a failpoint in the middle of packing: both signals wait, and are handled in turn.
    builder = start_builder(home, DATAMILL_FAILPOINT="pack.entry:stop@3")
    trainer = client()
    dataset_id = trainer.ask("toy")
    builder.wait_stopped()
    fault.injected()
    builder.signal(signal.SIGTERM)
    builder.signal(signal.SIGINT)
    builder.signal(signal.SIGCONT)
    code, secs = _end(builder, 60.0)
    assert code == exits.INTERRUPTED
    assert secs < IMPATIENT_SECS
    # Another thread may have come to the end before the main one heard of the signals.
    published = [hashlib.sha256(path.read_bytes()).hexdigest() for path in builder.archives()]
    again = start_builder(home)
    ready = trainer.wait(dataset_id)
    fault.recovered()
    assert published in ([], [ready["sha256"]]), "whole, or not at all"
    fault.watch(again, trainer)
    fault.saw(f"gone after {secs:.2f} s, nothing half published; ready from the next")


@pytest.mark.fault(9, "SIGINT to a handler in the middle of a shard")
def test_a_handler_that_is_interrupted_is_tried_again(
    mischief_home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    home = mischief_home
    write_items(home / "raw", ["once interrupt", "item", "item", "item"])
    builder = start_builder(home)
    trainer = client()
    fault.injected()
    assert trainer.wait(trainer.ask("toy"))["event"] == "ready"
    secs = fault.recovered()
    (shard,) = builder.tasks(TaskKind.SHARD)
    assert (shard.state, shard.attempts) == (TaskState.DONE, 2)
    assert "trying again" in builder.log()
    fault.watch(builder, trainer)
    fault.saw(f"its process ended, the shard was made by another, ready {secs:.1f} s after")
