"""Who asks: a name for people, whatever the outside says."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from datamill.client_name import MAX_CLIENT_CHARACTERS, client_name, sendable
from datamill.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path))
    return tmp_path


def test_user_and_host_by_default() -> None:
    assert client_name(load_settings()) == f"{getpass.getuser()}@{socket.gethostname()}"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert client_name(load_settings()) == f"{os.getuid()}@{socket.gethostname()}"


def test_a_name_of_ones_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "datamill.toml").write_text('client_name = "night run"\n')
    assert client_name(load_settings()) == "night run"
    monkeypatch.setenv("DATAMILL_CLIENT_NAME", "Jürgen")
    assert client_name(load_settings()) == "Jürgen"


def test_a_variable_that_is_empty_says_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "datamill.toml").write_text('client_name = "of the file"\n')
    monkeypatch.setenv("DATAMILL_CLIENT_NAME", "")
    assert client_name(load_settings()) is None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("ada@gpu7", "ada@gpu7"),
        ("  two words ", "two words"),
        ("a\r\nb\tc\0d\x1b[31m", "abcd[31m"),
        ("\u202eevil", "evil"),
        ("\ud800x", "x"),
        ("λ" * 200, "λ" * MAX_CLIENT_CHARACTERS),
        ("x" * MAX_CLIENT_CHARACTERS + "\n", "x" * MAX_CLIENT_CHARACTERS),
        ("", None),
        (" \n", None),
        (None, None),
        (17, None),
        (b"bytes", None),
        (["a"], None),
        ({"a": 1}, None),
    ],
)
def test_what_is_taken_from_outside(said: Any, shown: str | None) -> None:
    assert sendable(said) == shown
