"""Handlers that run out of memory, leave, loop and fork, in a whole builder (faults 10 and 11)."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

import pytest
from sqlalchemy import select

from datamill_builder.catalog import schema
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_producer.up.descendants import descendants
from tests.support.builder import BuilderProcess, Start, process_state
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect, PlainClient
from tests.support.toy import write_items

MEMORY_BYTES = 128 * 1024**2
MAX_STORED_BYTES = 64 * 1024
OTHER = '[datasets.other]\nhandler = "toy"\nraw = "other"\n'


@pytest.fixture
def home(mischief_home: Path) -> Path:
    """A home with a second dataset, `other`, whose items do nothing bad."""
    write_items(mischief_home / "raw", [f"item {number}" for number in range(20)], "other")
    (mischief_home / "datamill.toml").write_text(OTHER)
    return mischief_home


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A memory cgroup in which the kernel kills who wants more than 64 MiB."""
    name = f"datamill-{uuid.uuid4().hex[:12]}"
    for hierarchy, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        folder = Path("/sys/fs/cgroup", hierarchy, name)
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(64 * 1024**2))
            yield folder
        except OSError:
            continue
        finally:
            _remove(folder)
        return
    pytest.skip("needs a memory cgroup that it may make: rights, or a kernel with cgroups")


def _remove(folder: Path) -> None:
    """Remove a cgroup, once its last process is gone."""
    deadline = time.monotonic() + 10.0
    while folder.exists():
        with suppress(OSError):
            folder.rmdir()
        assert time.monotonic() < deadline, "a process stays in the cgroup"
        time.sleep(0.05)


def _build_both(trainer: PlainClient) -> dict[str, object]:
    """Ask for the bad dataset and another one; return how the bad one ended."""
    bad = trainer.ask("toy")
    good = trainer.ask("other")
    failed = trainer.wait(bad, timeout_secs=120.0)
    assert trainer.wait(good, timeout_secs=120.0)["event"] == "ready", "other builds go on"
    return failed


def _attempts(builder: BuilderProcess) -> list[int]:
    tasks = builder.tasks(TaskKind.SHARD)
    return [task.attempts for task in tasks if task.state == TaskState.FAILED]


def _stored_message(builder: BuilderProcess) -> str:
    catalog = builder.catalog
    with catalog.read() as connection:
        message = connection.scalar(
            select(schema.builds.c.message).where(schema.builds.c.message.is_not(None))
        )
    catalog.close()
    assert message is not None
    return str(message)


def _children(builder: BuilderProcess) -> list[str]:
    """Return the states of the processes below a builder."""
    assert builder.process is not None
    return [process_state(pid) for pid in descendants(builder.process.pid)]


@pytest.mark.fault(10, "a handler wants more memory than the setting allows, at each attempt")
def test_memory_without_end_fails_one_build(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    write_items(home / "raw", ["eat", "item"])
    builder = start_builder(home, DATAMILL_HANDLER_MEMORY_BYTES=str(MEMORY_BYTES))
    trainer = client()
    fault.injected()
    failed = _build_both(trainer)
    secs = fault.recovered()
    assert failed["reason"] == "handler_error"
    assert "memory" in str(failed["message"])
    assert _attempts(builder) == [3]
    assert "Z" not in _children(builder)
    fault.watch(builder, trainer)
    fault.saw(f"failed after 3 attempts, {secs:.1f} s: {_said(failed)}")


@pytest.mark.fault(10, "a handler wants more memory than there is, once")
def test_a_shard_that_got_no_memory_is_tried_again(
    home: Path, start_builder: Start, client: Connect, fault: Fault
) -> None:
    write_items(home / "raw", ["once eat", "item"])
    builder = start_builder(home, DATAMILL_HANDLER_MEMORY_BYTES=str(MEMORY_BYTES))
    trainer = client()
    fault.injected()
    ready = trainer.wait(trainer.ask("toy"))
    secs = fault.recovered()
    assert (ready["event"], ready["records"]) == ("ready", 2)
    assert [task.attempts for task in builder.tasks(TaskKind.SHARD)] == [2]
    fault.watch(builder, trainer)
    fault.saw(f"a new process made the shard at the 2nd attempt, ready {secs:.1f} s after")


@pytest.mark.fault(10, "the kernel kills a handler for its memory, at each attempt")
def test_a_handler_that_the_kernel_kills_fails_one_build(
    home: Path, start_builder: Start, client: Connect, fault: Fault, small_cgroup: Path
) -> None:
    write_items(home / "raw", [f"cgroup {small_cgroup}", "item"])
    builder = start_builder(home)
    trainer = client()
    fault.injected()
    failed = _build_both(trainer)
    secs = fault.recovered()
    assert failed["reason"] == "handler_error"
    assert "SIGKILL" in str(failed["message"])
    assert "out of memory?" in str(failed["message"])
    assert _attempts(builder) == [3]
    assert "Z" not in _children(builder)
    fault.watch(builder, trainer)
    fault.saw(f"failed after 3 attempts, {secs:.1f} s: {_said(failed)}")


@pytest.mark.parametrize(
    ("item", "reason", "words", "attempts"),
    [
        pytest.param("shout 200000", "handler_error", "RuntimeError: first line", 1, id="raises"),
        pytest.param("exit", "handler_error", "SystemExit: leaving", 1, id="sys_exit"),
        pytest.param("leave 7", "handler_error", "ended with code 7", 3, id="leaves"),
        pytest.param("loop", "timeout", "no answer within 2 s", 1, id="loops"),
    ],
)
@pytest.mark.fault(11, "a handler raises, exits, leaves or loops")
def test_what_a_handler_does_wrong_fails_its_build_alone(
    home: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    item: str,
    reason: str,
    words: str,
    attempts: int,
) -> None:
    write_items(home / "raw", [item, "item"])
    builder = start_builder(home, DATAMILL_SHARD_TIMEOUT_SECS="2")
    trainer = client()
    fault.injected()
    failed = _build_both(trainer)
    secs = fault.recovered()
    assert failed["reason"] == reason
    assert words in str(failed["message"])
    assert _attempts(builder) == [attempts]
    stored = len(_stored_message(builder).encode())
    assert stored <= MAX_STORED_BYTES
    # No zombie, and nobody who still loops: one that runs has just begun, for the next request.
    eventually(lambda: not {"Z", "R"} & set(_children(builder)))
    fault.watch(builder, trainer)
    fault.saw(f"`{item}`: {reason} after {secs:.1f} s and {attempts} attempts, {stored} bytes kept")


@pytest.mark.parametrize("item", ["fork", "escape"])
@pytest.mark.fault(11, "a handler dies, and a process that it started holds its pipes open")
def test_what_a_handler_has_started_ends_with_it(
    home: Path, start_builder: Start, client: Connect, fault: Fault, item: str
) -> None:
    child = home / "child"
    write_items(home / "raw", [f"{item} {child}", "item"])
    builder = start_builder(home, DATAMILL_SHARD_ATTEMPTS="1")
    trainer = client()
    fault.injected()
    failed = _build_both(trainer)
    secs = fault.recovered()
    assert failed["reason"] == "handler_error"
    assert "ended with code 7" in str(failed["message"])
    pid = int(child.read_text())
    try:
        deadline = time.monotonic() + 10.0
        while process_state(pid) != "X":
            assert time.monotonic() < deadline, "an orphan, or a zombie, is left"
            time.sleep(0.02)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert "Z" not in _children(builder)
    fault.watch(builder, trainer)
    fault.saw(f"{item}: told after {secs:.1f} s, no orphan and no zombie is left")


def _said(failed: dict[str, Any]) -> str:
    return shorten(str(failed["message"]), 80, placeholder=" …")
