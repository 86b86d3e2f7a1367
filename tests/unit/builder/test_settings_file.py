"""A dataset is added to the settings that somebody wrote; nothing else in them changes."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from datamill.errors import SettingsError
from datamill.settings import load_settings
from datamill_builder.settings_file import add_dataset

WRITTEN = """\
# Ours.
workers = 4   # as many as there are

[datasets.slow]   # a comment
handler = "toy"
"""


def settings(home: Path) -> Path:
    home.mkdir(exist_ok=True)
    return home / "datamill.toml"


def test_it_is_appended_and_all_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = settings(tmp_path / "home")
    file.write_text(WRITTEN)
    file.chmod(0o640)
    add_dataset(tmp_path / "home", "ecssd", {"handler": "duts", "raw": 'with "quotes" \\ and ☃'})
    assert file.read_text().startswith(WRITTEN)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    monkeypatch.delenv("DATAMILL_DATASETS", raising=False)
    read = load_settings(home=tmp_path / "home")
    assert read.workers == 4
    assert read.datasets["ecssd"].raw == 'with "quotes" \\ and ☃'
    assert read.datasets["slow"].handler == "toy"


@pytest.mark.parametrize("before", [None, "", "workers = 4", "workers = 4\n\n"])
def test_a_file_that_is_not_there_or_does_not_end_in_a_line_end(
    tmp_path: Path, before: str | None
) -> None:
    file = settings(tmp_path / "home")
    if before is not None:
        file.write_text(before)
    add_dataset(tmp_path / "home", "a", {"handler": "toy"})
    add_dataset(tmp_path / "home", "b", {"handler": "toy"})
    read = tomllib.loads(file.read_text())
    assert read["datasets"] == {"a": {"handler": "toy"}, "b": {"handler": "toy"}}


@pytest.mark.parametrize(
    "before",
    ['datasets = { a = { handler = "toy" } }\n', '[datasets.b]\nhandler = "x"\n', "workers = \n"],
)
def test_what_can_not_be_appended_to_is_left_alone(tmp_path: Path, before: str) -> None:
    file = settings(tmp_path / "home")
    file.write_text(before)
    with pytest.raises(SettingsError, match=r"datamill\.toml"):
        add_dataset(tmp_path / "home", "b", {"handler": "toy"})
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "repository.toml"
    real.write_text(WRITTEN)
    file = settings(tmp_path / "home")
    file.symlink_to(real)
    add_dataset(tmp_path / "home", "b", {"handler": "toy"})
    assert file.is_symlink()
    assert "[datasets.b]" in real.read_text()
