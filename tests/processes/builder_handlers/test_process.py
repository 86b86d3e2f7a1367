"""The builder's end of a handler process: whatever a handler does, the builder goes on."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datamill.events import Reason
from datamill_builder.handlers.process import (
    HandlerDied,
    HandlerFailed,
    HandlerProcess,
    HandlerStopped,
)
from datamill_builder.handlers.runner import PROGRESS_SECS
from tests.processes.builder_handlers.conftest import open_handler
from tests.unit.builder.forker import is_alive
from tests.unit.builder.waiting import told, until

ENOUGH_SECS = 20.0


def do(process: HandlerProcess, what: str, value: Any = None, **options: Any) -> Any:
    options.setdefault("timeout_secs", ENOUGH_SECS)
    items = [{"do": what, "with": value}]
    return process.call("shard", content_key="k", items=items, path="/dev/null", **options)


def keep_busy(process: HandlerProcess, then: Callable[[], None]) -> None:
    """Have the handler loop for ever; call `then` once it is about to."""
    items = [{"do": "tells", "with": [1]}, {"do": "loops"}]
    process.call(
        "shard",
        content_key="k",
        items=items,
        path="/dev/null",
        timeout_secs=ENOUGH_SECS,
        on_progress=lambda _: then(),
    )


def test_a_call_has_an_answer(opened: HandlerProcess) -> None:
    assert do(opened, "echo", {"text": "caf\u00e9 \U0001f638 \ud800", "none": None}) == {
        "text": "caf\u00e9 \U0001f638 \ud800",
        "none": None,
    }


def test_large_answers_and_questions_come_whole(opened: HandlerProcess) -> None:
    large = "x" * 3_000_000
    assert do(opened, "echo", large) == large


def test_progress_is_told_before_the_answer(opened: HandlerProcess) -> None:
    numbers: list[int] = []
    assert do(opened, "tells", [1, 2, 3], on_progress=numbers.append) == "told"
    assert numbers[:1] == [1]
    assert do(opened, "tells", [4]) == "told", "nobody has to listen"


def test_progress_is_told_now_and_then_not_for_every_record(opened: HandlerProcess) -> None:
    numbers: list[int] = []
    began = time.monotonic()
    do(opened, "tells", list(range(50_000)), on_progress=numbers.append)
    looks = (time.monotonic() - began) / PROGRESS_SECS + 1
    assert numbers == sorted(set(numbers)), "forward only"
    assert 1 <= len(numbers) <= looks


def test_prints_go_to_the_log_and_not_into_the_protocol(
    opened: HandlerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert do(opened, "prints", "hello from the handler") == "printed"
        assert do(opened, "echo", 1) == 1
        opened.close()
    lines = [record.getMessage() for record in caplog.records]
    for words in ("hello from the handler", "written to descriptor 1", "by a program"):
        assert f"trouble 1.0.0: {words}" in lines
    assert "trouble 1.0.0: an error line" in lines


def test_a_line_without_an_end_fills_no_memory(
    opened: HandlerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert do(opened, "no_newline", 2) == "printed"
        opened.close()
    assert max(len(record.getMessage()) for record in caplog.records) < 100_000


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for descriptors in /proc")
def test_noise_in_the_protocol_ends_the_process(opened: HandlerProcess, raw_root: Path) -> None:
    assert opened._process.stdout is not None
    answers = str(Path(f"/proc/self/fd/{opened._process.stdout.fileno()}").readlink())
    open_handler(opened, raw_root, answers=answers)
    with pytest.raises(HandlerDied, match="something else than answers"):
        do(opened, "noise")
    assert not opened.alive


@pytest.mark.parametrize(("code", "message"), [(0, "0"), (3, "3"), ("bye", "bye"), (None, "")])
def test_sys_exit_is_an_error_like_others(
    opened: HandlerProcess, code: object, message: str
) -> None:
    with pytest.raises(HandlerFailed, match=f"SystemExit.*{message}") as error:
        do(opened, "exits", code)
    assert error.value.reason is Reason.HANDLER_ERROR
    assert do(opened, "echo", "still here") == "still here"


def test_an_exception_comes_with_its_traceback(opened: HandlerProcess) -> None:
    with pytest.raises(HandlerFailed) as error:
        do(opened, "raises", "no such picture\nand more")
    assert str(error.value) == "ValueError: no such picture"
    assert error.value.reason is Reason.HANDLER_ERROR
    assert 'trouble.py", line' in error.value.traceback
    assert "and more" in error.value.traceback
    assert do(opened, "echo", 1) == 1


def test_an_exception_may_say_its_reason(opened: HandlerProcess) -> None:
    with pytest.raises(HandlerFailed) as error:
        do(opened, "raises_bad_item", "a.jpg: cut short")
    assert (error.value.reason, str(error.value)) == (Reason.BAD_DATA, "a.jpg: cut short")
    with pytest.raises(HandlerFailed) as error:
        do(opened, "raises_strangely", "x")
    assert error.value.reason is Reason.HANDLER_ERROR, "an unknown reason is none"


def test_a_traceback_has_a_bound(opened: HandlerProcess) -> None:
    with pytest.raises(HandlerFailed, match="RecursionError") as error:
        do(opened, "recurses", 0)
    assert len(error.value.traceback) <= 64 * 1024
    with pytest.raises(HandlerFailed) as error:
        do(opened, "raises", "x" * 200_000)
    assert len(str(error.value)) <= 2000
    assert len(error.value.traceback) <= 64 * 1024


def test_an_answer_that_is_no_json_is_the_handlers_error(opened: HandlerProcess) -> None:
    with pytest.raises(HandlerFailed, match="not JSON serializable") as error:
        do(opened, "returns_nonsense")
    assert error.value.reason is Reason.HANDLER_ERROR
    assert do(opened, "echo", 1) == 1


def test_a_process_that_leaves_is_dead(opened: HandlerProcess) -> None:
    with pytest.raises(HandlerDied, match="ended with code 7") as error:
        do(opened, "exits_at_once", 7)
    assert "last words" in error.value.traceback, "what it printed last tells why"
    with pytest.raises(HandlerDied):
        do(opened, "echo", 1)


def test_what_a_killed_process_printed_last_is_known(opened: HandlerProcess) -> None:
    with pytest.raises(HandlerDied) as error:
        do(opened, "says_and_dies", "about to open a.jpg")
    assert "about to open a.jpg" in error.value.traceback


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, r"signal 9 \(SIGKILL\); out of memory\?"), (signal.SIGSEGV, "SIGSEGV")],
)
def test_a_killed_process_is_dead(opened: HandlerProcess, number: int, words: str) -> None:
    with pytest.raises(HandlerDied, match=words):
        do(opened, "kills_itself", int(number))
    assert not opened.alive


def test_a_process_killed_while_it_waits_is_dead(opened: HandlerProcess) -> None:
    os.kill(do(opened, "where")["pid"], signal.SIGKILL)
    until(lambda: not opened.alive)
    with pytest.raises(HandlerDied):
        do(opened, "echo", "x" * 1_000_000)


def test_the_number_of_a_group_that_is_gone_is_not_used_again(
    opened: HandlerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HandlerDied):
        do(opened, "kills_itself", int(signal.SIGKILL))
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _number: killed.append(group))
    assert not opened.alive
    opened.close()
    assert killed == [], "a stranger's, by now, may have been killed"


@pytest.mark.parametrize("what", ["loops", "sleeps"])
def test_what_takes_too_long_is_ended(opened: HandlerProcess, what: str) -> None:
    began = time.monotonic()
    with pytest.raises(HandlerFailed, match="no answer within") as error:
        do(opened, what, 60, timeout_secs=0.2)
    assert error.value.reason is Reason.TIMEOUT
    assert time.monotonic() - began < 3.0
    assert not opened.alive, "nobody may be lent a process that is on its way out"


def test_stopping_from_another_thread(opened: HandlerProcess) -> None:
    stopper = threading.Thread(target=opened.stop)
    with pytest.raises(HandlerStopped):
        keep_busy(opened, stopper.start)
    stopper.join()
    until(lambda: not opened.alive)


def test_children_end_with_their_handler(opened: HandlerProcess) -> None:
    child = do(opened, "starts_child", False)
    assert is_alive(child)
    opened.close()
    until(lambda: not is_alive(child))


def test_a_forked_child_that_holds_the_protocol_hides_no_death(
    opened: HandlerProcess, tmp_path: Path
) -> None:
    with pytest.raises(HandlerDied, match="SIGKILL"):
        do(opened, "forks_and_dies", str(tmp_path / "child"))
    until(lambda: not is_alive(int(told(tmp_path / "child"))))


def test_a_child_of_another_session_does_not_hold_up_the_end(opened: HandlerProcess) -> None:
    child = do(opened, "starts_child", True)
    closing = threading.Thread(target=opened.close, daemon=True)
    closing.start()
    closing.join(8.0)
    assert not closing.is_alive(), "closing waits for a stranger"
    if Path("/proc/self/environ").exists():
        until(lambda: not is_alive(child))
    else:
        os.kill(child, signal.SIGKILL)


def test_the_end_of_standard_input_ends_a_busy_handler(opened: HandlerProcess) -> None:
    child = do(opened, "starts_child", False)
    # As it is when the builder is killed: nobody is left to kill the handler.
    assert opened._process.stdin is not None
    with pytest.raises(HandlerDied):
        keep_busy(opened, opened._process.stdin.close)
    until(lambda: not is_alive(child))


@pytest.mark.parametrize("what", ["reads_input", "program_reads_input"])
def test_nobody_eats_the_commands(opened: HandlerProcess, what: str) -> None:
    assert do(opened, what, timeout_secs=5.0) in ("''", "")
    assert do(opened, "echo", 1) == 1


def test_the_environment_holds_nothing_of_ours(
    handler_python: Path, raw_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAMILL_BROKER_URL", "amqp://user:secret@broker")
    monkeypatch.setenv("DATAMILL_CATALOG_URL", "postgresql://user:secret@there")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    process = HandlerProcess(handler_python, tmp_path, "trouble 1.0.0")
    open_handler(process, raw_root)
    environment = do(process, "environment")
    process.close()
    assert not [name for name in environment if name.startswith("DATAMILL")]
    assert "secret" not in repr(environment)
    assert "PYTHONPATH" not in environment
    assert environment["OMP_NUM_THREADS"] == "1"


def test_it_runs_in_its_own_environment_and_folder(
    opened: HandlerProcess, handler_python: Path
) -> None:
    where = do(opened, "where")
    assert Path(where["prefix"]) == handler_python.parents[1]
    assert Path(where["cwd"]).name.startswith("work")
    assert where["path"] and where["cwd"] not in where["path"]
    assert not [path for path in where["path"] if "datamill_builder" in path or path == ""]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit leaves most memory out")
def test_more_memory_than_allowed_is_the_end_of_a_process(
    handler_python: Path, raw_root: Path, tmp_path: Path
) -> None:
    process = HandlerProcess(handler_python, tmp_path, "trouble 1.0.0", 128 * 1024**2)
    open_handler(process, raw_root)
    assert do(process, "eats", 30) == "ate 30"
    with pytest.raises(HandlerDied, match="got no more memory: MemoryError") as error:
        do(process, "eats", 300)
    assert "eats" in error.value.traceback
    assert not process.alive, "nobody is lent a process that got no memory"
    process.close()


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_an_interpreter_that_does_not_start_leaves_nothing(tmp_path: Path) -> None:
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(HandlerDied, match="ended with code"):
            HandlerProcess(Path("/bin/false"), tmp_path, "false")
    assert open_descriptors() <= before
    assert not [thread for thread in threading.enumerate() if "log of false" in thread.name]


def test_closing_twice_is_no_error(opened: HandlerProcess) -> None:
    opened.close()
    opened.close()
    assert not opened.alive
