"""What was done with dead letters can be seen afterwards."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from datamill_producer.dead_log import LOG_FILE, DeadLog
from tests.unit.producer.test_dead_letters import LETTER


def test_a_line_says_what_was_done_to_what(tmp_path: Path) -> None:
    home = tmp_path / "home"
    DeadLog(home).write(LETTER, "replayed")
    DeadLog(home).write(replace(LETTER, body=b"\xff", message_id=None), "dropped")
    first, second = DeadLog(home).entries()
    assert (first["outcome"], first["message_id"]) == ("replayed", LETTER.message_id)
    assert first["sha256"] == hashlib.sha256(LETTER.body).hexdigest()
    assert first["time"].endswith("Z") and first["user"]
    assert (second["outcome"], second["message_id"], second["flaw"]) == (
        "dropped",
        None,
        "not_json",
    )
    assert stat.S_IMODE((home / LOG_FILE).stat().st_mode) == 0o600, "it holds what was asked for"


def test_nothing_was_done(tmp_path: Path) -> None:
    assert list(DeadLog(tmp_path).entries()) == []


def test_several_that_write_at_once(tmp_path: Path) -> None:
    letters = [replace(LETTER, message_id=f"m{number}" * 500) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda letter: DeadLog(tmp_path).write(letter, "replayed"), letters))
    told = sorted(entry["message_id"] for entry in DeadLog(tmp_path).entries())
    assert told == sorted(letter.message_id or "" for letter in letters)
