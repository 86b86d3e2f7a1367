from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
import pytest

from datamill_producer.config_option import config_from


@pytest.mark.parametrize(
    ("given", "options", "config"),
    [
        (None, [], {}),
        ('{"a": 1}', [], {"a": 1}),
        (None, ["size=[8,8]", "p=0.5", "on=true", "none=null"],
         {"size": [8, 8], "p": 0.5, "on": True, "none": None}),
        (None, ["word=hello world", "empty=", 'text="1"', "eq=a=b"],
         {"word": "hello world", "empty": "", "text": "1", "eq": "a=b"}),
        ('{"a": 1, "b": 2}', ["a=3"], {"a": 3, "b": 2}),
        (None, ["a=1", "a=2"], {"a": 2}),
    ],
)  # fmt: skip
def test_config(given: str | None, options: list[str], config: dict[str, Any]) -> None:
    assert config_from(given, options) == config


def test_config_from_a_file_and_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"ä": "ö"}', encoding="utf-8")
    assert config_from(f"@{file}", []) == {"ä": "ö"}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"x": []}'))
    assert config_from("-", ["y=1"]) == {"x": [], "y": 1}


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ("{", [], "is not JSON"),
        ("[1]", [], "not a JSON object"),
        ("3", [], "not a JSON object"),
        ("@/no/such/file", [], "/no/such/file can't be read"),
        (None, ["novalue"], "KEY=VALUE"),
        (None, ["=1"], "KEY=VALUE"),
    ],
)
def test_what_is_no_config(given: str | None, options: list[str], said: str) -> None:
    with pytest.raises(click.UsageError) as error:
        config_from(given, options)
    assert said in error.value.message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"\xff\xfe")
    with pytest.raises(click.UsageError, match="can't be read"):
        config_from(f"@{tmp_path / 'c'}", [])
