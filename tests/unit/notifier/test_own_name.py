"""A notifier's name is its own while it runs, and free for others to see afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from datamill.errors import SettingsError
from datamill_notifier.own_name import OwnName


def test_who_is_gone_is_known_until_it_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "notifiers"
    first, second = OwnName(folder), OwnName(folder)
    assert first.name != second.name
    assert first.gone() == second.gone() == []
    first.release()
    assert second.gone() == [first.name]
    third = OwnName(folder)
    assert third.gone() == [first.name]
    third.forget([first.name])
    assert second.gone() == third.gone() == []
    second.release()
    third.release()


def test_nobody_can_be_forgotten_who_is_there(tmp_path: Path) -> None:
    one, other = OwnName(tmp_path), OwnName(tmp_path)
    other.forget([one.name, other.name, "never there"])
    one.release()
    assert other.gone() == [one.name]
    other.release()


def test_a_killed_process_leaves_its_name_free(tmp_path: Path) -> None:
    mine = OwnName(tmp_path)
    program = (
        "import os, pathlib, sys\n"
        "from datamill_notifier.own_name import OwnName\n"
        "own = OwnName(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert len(mine.gone()) == 1
    mine.release()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="can't be used"):
        OwnName(tmp_path / "file" / "notifiers")
