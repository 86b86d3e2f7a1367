"""Lending handler processes, and ending them all."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datamill import logs
from datamill_builder.catalog.counters import Counters
from datamill_builder.handlers.environments import Environment, HeldEnvironment
from datamill_builder.handlers.pool import HandlerPool, OpenHandler, Opening
from datamill_builder.handlers.process import (
    RUNNER,
    HandlerDied,
    HandlerFailed,
    HandlerStopped,
)
from datamill_builder.handlers.spares import SPARES
from datamill_builder.handlers.use import Use, alone
from datamill_builder.store import Store
from tests.unit.builder.waiting import until

ENVIRONMENT = Environment("slow", "slow", "1", "slow:Slow", "slow.whl", "d" * 64, "here", "# py\n")


class Made:
    """An environment that is made already, as the pool sees it."""

    def __init__(self, python: Path, lock: Path) -> None:
        self._python = python
        self.lock = lock

    def hold(self, _environment: Environment) -> HeldEnvironment:
        return HeldEnvironment(self._python, Use(self.lock))


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def pool(
    handler_python: Path, raw_root: Path, tmp_path: Path, counters: Counters
) -> Iterator[HandlerPool]:
    environments: Any = Made(handler_python, tmp_path / "lock")
    store = Store(tmp_path / "store")
    pool = HandlerPool(environments, raw_root, store, 2, 60.0, counters=counters)
    yield pool
    pool.stop_all()


def opening(kind: str, **config: Any) -> Opening:
    environment = Environment(**{**ENVIRONMENT.__dict__, "entry_point": f"trouble:{kind}"})
    return Opening(environment, "trouble", config, None)


def as_resolved(handler: OpenHandler) -> Opening:
    """What builds open a handler with, once somebody has asked about its config."""
    told = {"config": handler.info["config"], "raw": handler.info["raw"]}
    return replace(opening("Trouble"), **told)


def handlers_in(folder: Path) -> dict[Path, int]:
    """Return the handler processes that this one began in `folder`, by where each runs."""
    found = {}
    for pid in children():
        # What ends just now is none.
        with suppress(FileNotFoundError, ProcessLookupError):
            command = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            runs_in = Path("/proc", pid, "cwd").readlink()
            if os.fsencode(RUNNER) in command and runs_in.is_relative_to(folder):
                found[runs_in] = int(pid)
    return found


def children() -> Iterator[str]:
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):
            yield from (thread / "children").read_text().split()


def no_spare_is_coming() -> bool:
    return not any(thread.name == "spare handler" for thread in threading.enumerate())


def test_a_handler_that_is_being_opened_ends_with_the_pool(
    pool: HandlerPool, raw_root: Path
) -> None:
    """One whose import takes minutes must not hold up a builder that stops."""
    ended: list[BaseException] = []

    def lend() -> None:
        try:
            with pool.lend(opening("Slow")):
                raise AssertionError("it was lent")
        except HandlerStopped as stopped:
            ended.append(stopped)

    thread = threading.Thread(target=lend)
    thread.start()
    until((raw_root / "trouble" / "opening").exists)
    pool.stop_all()
    thread.join(10)
    assert not thread.is_alive()
    assert len(ended) == 1


def test_nothing_is_opened_once_all_were_ended(pool: HandlerPool) -> None:
    with pool.lend(opening("Trouble")) as opened:
        assert opened.info["mode"] == "sharded"
    pool.stop_all()
    with pytest.raises(HandlerStopped), pool.lend(opening("Trouble")):
        pytest.fail("it was lent")


def test_who_needs_another_config_gets_a_process_that_has_begun(
    pool: HandlerPool, tmp_path: Path
) -> None:
    with pool.lend(opening("Trouble", size=1)) as first:
        assert first.info["config"]["size"] == 1
        assert len(handlers_in(tmp_path)) == 1, "nothing else is begun while a handler is at work"
    until(no_spare_is_coming)
    begun = handlers_in(tmp_path)
    assert len(begun) == 1 + SPARES
    with pool.lend(opening("Trouble", size=2)) as second:
        assert second.info["config"]["size"] == 2
        assert second.workdir in begun and second.workdir != first.workdir
    until(no_spare_is_coming)
    assert len(handlers_in(tmp_path)) == 2 + SPARES, "the spare was replaced"
    pool.stop_all()
    assert not handlers_in(tmp_path)


def test_who_has_read_raw_data_that_changed_since_is_not_lent(pool: HandlerPool) -> None:
    """A handler may remember what it has listed, or the last picture that it has decoded."""

    with pool.lend(opening("Trouble")) as first:
        asked, resolved = first.workdir, as_resolved(first)

    def lent(raw_version: str | None) -> Path:
        with pool.lend(replace(resolved, raw_version=raw_version)) as handler:
            return handler.workdir

    assert lent("old") == asked, "who was only asked about a config has read nothing"
    assert lent("old") == asked
    assert lent(None) == asked, "nor does it matter to who asks about a config"
    new = lent("new")
    assert new != asked
    assert [lent("old"), lent("new")] == [asked, new]


def test_a_spare_that_has_died_is_not_lent(pool: HandlerPool, tmp_path: Path) -> None:
    with pool.lend(opening("Trouble")) as first:
        pass
    until(no_spare_is_coming)
    assert len(handlers_in(tmp_path)) == 1 + SPARES
    for folder, pid in handlers_in(tmp_path).items():
        if folder != first.workdir:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert len(handlers_in(tmp_path)) == 1
    with pool.lend(opening("Trouble", size=2)) as second:
        assert second.info["config"]["size"] == 2


def test_what_is_one_piece_of_work_gets_no_spares(pool: HandlerPool, tmp_path: Path) -> None:
    """It may be a handler that imports TensorFlow: gigabytes, for one process at a time."""
    with pool.lend(opening("Classic")) as opened:
        assert opened.info["mode"] == "classic"
    until(no_spare_is_coming)
    assert len(handlers_in(tmp_path)) == 1


def test_spares_that_are_being_begun_end_with_the_pool(pool: HandlerPool, tmp_path: Path) -> None:
    with pool.lend(opening("Trouble")):
        pass
    pool.stop_all()
    until(no_spare_is_coming)
    assert not handlers_in(tmp_path)


# --- what is counted, and what they say -----------------------------------------------------------


def shard(handler: OpenHandler, do: str, given: Any = None, timeout_secs: float = 60.0) -> Any:
    items = [{"do": do, "with": given}]
    where = {"items": items, "path": "", "content_key": "c" * 64}
    return handler.process.call("shard", timeout_secs=timeout_secs, **where)


def test_processes_are_counted_as_they_begin_and_as_they_are_lost(
    pool: HandlerPool, counters: Counters
) -> None:
    with pool.lend(opening("Trouble")) as handler:
        assert shard(handler, "echo", 3) == 3
    until(no_spare_is_coming)
    begun = counters.totals()["handler_starts", ()]
    assert begun >= 1
    assert not any(name == "handler_ends" for name, _ in counters.totals())
    with pytest.raises(HandlerDied), pool.lend(as_resolved(handler)) as handler:
        shard(handler, "kills_itself", signal.SIGKILL)
    with pytest.raises(HandlerFailed, match="no answer"), pool.lend(opening("Trouble")) as handler:
        shard(handler, "sleeps", 60, timeout_secs=0.2)
    with pytest.raises(HandlerFailed, match="bad luck"), pool.lend(opening("Trouble")) as handler:
        shard(handler, "raises", "bad luck")
    ends = {labels: n for (name, labels), n in counters.totals().items() if name == "handler_ends"}
    assert ends == {(("cause", "died"),): 1, (("cause", "timeout"),): 1}
    until(no_spare_is_coming)
    assert counters.totals()["handler_starts", ()] > begun


def test_what_a_handler_prints_names_the_dataset_that_it_works_for(
    pool: HandlerPool, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str | None]] = []

    class Note(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            told.append((record.getMessage(), logs.about()))
            return True

    note = Note()
    caplog.handler.addFilter(note)
    with caplog.at_level(logging.INFO):
        for dataset_id in ("a" * 64, "b" * 64):
            with logs.About(dataset_id), pool.lend(opening("Trouble")) as handler:
                shard(handler, "prints", f"for {dataset_id[:1]}")
                line = f"trouble 1: for {dataset_id[:1]}"
                until(lambda line=line: any(message == line for message, _ in told))
    caplog.handler.removeFilter(note)
    said = {message: about for message, about in told if "for " in message}
    assert said == {"trouble 1: for a": "a" * 64, "trouble 1: for b": "b" * 64}


def test_its_environment_is_held_as_long_as_a_process_may_be_used(
    pool: HandlerPool, tmp_path: Path
) -> None:
    def is_free() -> bool:
        with alone(tmp_path / "lock") as unused:
            return unused

    assert is_free()
    with pool.lend(opening("Trouble")):
        assert not is_free()
    assert not is_free(), "it waits for its next use"
    pool.stop_all()
    until(is_free)
