"""Command hooks: what they are given, what comes of them, and that they end."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from datamill.hook_settings import HookSettings
from datamill_builder.hooks.command import Command
from datamill_builder.hooks.message import Message
from tests.support.eventually import eventually

FAILED = {
    "id": "msg_1",
    "event": "failed",
    "dataset_id": "ab" * 32,
    "time": "2026-01-31T12:00:00.000Z",
    "reason": "handler_error",
    "message": "two\nlines\0",
    "retryable": True,
    "dataset_name": "toy",
    "handler_version": "1.0.0",
    "dataset_config": {"size": [1, 2]},
}
MESSAGE = Message(json.dumps(FAILED), attempt=3)


def command(folder: Path, *words: str, **settings: Any) -> Command:
    return Command(HookSettings(command=words, **settings), folder)


def test_it_gets_the_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADMIN_TOKEN", "BROKER_URL", "CATALOG_URL", "HANDLER_SOURCES", "HOOKS"):
        monkeypatch.setenv(f"DATAMILL_{name}", "very-secret")
    monkeypatch.setenv("DATAMILL_HOME", "/kept")
    program = (
        "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ), sys.argv[1:], "
        "os.getcwd()], open('seen', 'w'))"
    )
    outcome = command(tmp_path, sys.executable, "-c", program, "two words", "$HOME").tell(MESSAGE)
    assert (outcome.done, outcome.says) == (True, "exit code 0")
    document, environment, words, folder = json.loads((tmp_path / "seen").read_text())
    assert document == FAILED
    assert words == ["two words", "$HOME"]
    assert Path(folder) == tmp_path
    given = {name: text for name, text in environment.items() if name.startswith("DATAMILL_E")}
    assert given == {
        "DATAMILL_EVENT": "failed",
        "DATAMILL_EVENT_ATTEMPT": "3",
        "DATAMILL_EVENT_ID": "msg_1",
        "DATAMILL_EVENT_DATASET_ID": "ab" * 32,
        "DATAMILL_EVENT_TIME": "2026-01-31T12:00:00.000Z",
        "DATAMILL_EVENT_REASON": "handler_error",
        "DATAMILL_EVENT_MESSAGE": "two\nlines\\0",
        "DATAMILL_EVENT_RETRYABLE": "true",
        "DATAMILL_EVENT_DATASET_NAME": "toy",
        "DATAMILL_EVENT_HANDLER_VERSION": "1.0.0",
        "DATAMILL_EVENT_DATASET_CONFIG": '{"size": [1, 2]}',
    }
    assert environment["DATAMILL_HOME"] == "/kept"
    assert "very-secret" not in str(environment)


def test_what_is_too_long_for_a_variable_is_on_standard_input_alone(tmp_path: Path) -> None:
    names = ["ärger", "日本"]
    long = {**FAILED, "dataset_config": {"words": ["ü" * 100] * 300}, "splits": {"names": names}}
    message = Message(json.dumps(long))
    assert len(json.dumps(long["dataset_config"])) > 128 * 1024, "more than Linux takes"
    program = (
        "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ)], "
        "open('seen', 'w'))"
    )
    outcome = command(tmp_path, sys.executable, "-c", program).tell(message)
    assert (outcome.done, outcome.says) == (True, "exit code 0")
    document, environment = json.loads((tmp_path / "seen").read_text())
    assert document == long
    assert "DATAMILL_EVENT_DATASET_CONFIG" not in environment
    assert environment["DATAMILL_EVENT_SPLITS"] == '{"names": ["ärger", "日本"]}', "as it is"
    assert environment["DATAMILL_EVENT_REASON"] == "handler_error"


@pytest.mark.parametrize(
    ("script", "done", "says"),
    [
        ("exit 0", True, "exit code 0"),
        ("echo sent; exit 0", True, "exit code 0: sent"),
        ("echo one; echo two >&2; exit 3", False, "exit code 3: one | two"),
        ("kill -9 $$", False, "ended by signal 9"),
        ("exec 1>&- 2>&-; sleep 0.3; exit 5", False, "exit code 5"),
        ("cat >/dev/null; exit 0", True, "exit code 0"),
    ],
)
def test_what_its_end_means(tmp_path: Path, script: str, done: bool, says: str) -> None:
    outcome = command(tmp_path, "sh", "-c", script).tell(MESSAGE)
    assert (outcome.done, outcome.says, outcome.final) == (done, says, False)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    outcome = command(tmp_path, "/no/such/program").tell(MESSAGE)
    assert (outcome.done, outcome.says) == (False, "/no/such/program: No such file or directory")


def test_of_much_output_the_end_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    program = "import sys; sys.stdout.write('x' * 3_000_000 + ' the end')"
    with caplog.at_level("INFO", "datamill_builder.hooks"):
        outcome = command(tmp_path, sys.executable, "-c", program, name="loud").tell(MESSAGE)
    assert outcome.done
    assert outcome.says.endswith("x the end")
    assert len(outcome.says) < 300
    (record,) = [one for one in caplog.records if "hook loud said" in one.message]
    assert record.message.endswith("x the end")
    assert len(record.message) < 5000
    assert record.dataset_id == FAILED["dataset_id"]


def _group(tmp_path: Path) -> list[int]:
    return [int(word) for word in (tmp_path / "pids").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_at_the_time_limit_all_that_it_started_is_killed(tmp_path: Path) -> None:
    script = "sleep 60 & echo $$ $! > pids; trap '' TERM; echo waiting; wait"
    started = time.monotonic()
    outcome = command(tmp_path, "sh", "-c", script, timeout_secs=0.7).tell(MESSAGE)
    assert time.monotonic() - started < 5
    assert (outcome.done, outcome.says) == (False, "killed after 0.7 s: waiting")
    eventually(lambda: not any(map(_alive, _group(tmp_path))), 10)


def test_one_that_writes_without_end_is_killed_too(tmp_path: Path) -> None:
    started = time.monotonic()
    outcome = command(tmp_path, "yes", timeout_secs=0.5).tell(MESSAGE)
    assert time.monotonic() - started < 5
    assert outcome.says.startswith("killed after 0.5 s: ")


def test_what_it_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    script = f"sleep 20 & echo $! > {shlex.quote(str(tmp_path / 'pids'))}; echo sent"
    started = time.monotonic()
    outcome = command(tmp_path, "sh", "-c", script).tell(MESSAGE)
    assert time.monotonic() - started < 5
    assert (outcome.done, outcome.says) == (True, "exit code 0: sent")
    (left,) = _group(tmp_path)
    os.kill(left, 9)


def test_it_can_be_stopped_from_another_thread(tmp_path: Path) -> None:
    hook = command(tmp_path, "sh", "-c", "echo $$ > pids; sleep 60", timeout_secs=30)
    stopping = threading.Thread(
        target=lambda: (eventually((tmp_path / "pids").exists, 10), hook.stop())
    )
    stopping.start()
    started = time.monotonic()
    outcome = hook.tell(MESSAGE)
    stopping.join()
    assert time.monotonic() - started < 10
    assert (outcome.done, outcome.says) == (False, "the builder was stopped meanwhile")
    assert outcome.broken_off
    assert hook.tell(MESSAGE).broken_off, "it was stopped before"
    hook.stop()  # once more: the number of its group may be another's by now
