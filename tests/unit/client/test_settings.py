"""Settings: where they come from, and what a bad one says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datamill.environment import settings_in_force
from datamill.errors import SettingsError
from datamill.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path))
    return tmp_path


def test_arguments_over_environment_over_file_over_defaults(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "datamill.toml").write_text('lease_secs = 1\nworkers = 2\nlisten = "file:1"\n')
    monkeypatch.setenv("DATAMILL_WORKERS", "3")
    monkeypatch.setenv("DATAMILL_LISTEN", "environment:2")
    settings = load_settings(listen="argument:3")
    assert (settings.listen, settings.workers, settings.lease_secs) == ("argument:3", 3, 1.0)
    assert settings.shard_attempts == 3
    assert settings.raw_folder == home / "raw"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAMILL_BROKER_URL", "")
    assert load_settings().broker_url is None


def test_more_datasets(home: Path) -> None:
    (home / "datamill.toml").write_text('[datasets.ecssd]\nhandler = "duts"\nraw = "ECSSD"\n')
    assert load_settings().datasets["ecssd"].handler == "duts"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/a,/b", ("/a", "/b")),
        ("/a:/b", ("/a", "/b")),
        ("git+file:///r:/b", ("git+file:///r", "/b")),
        ("git+https://x.example/r.git", ("git+https://x.example/r.git",)),
        ('["/a, b"]', ("/a, b",)),
        (" /a ,\n/b\n", ("/a", "/b")),
    ],
)
def test_handler_sources(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATAMILL_HANDLER_SOURCES", given)
    assert load_settings().handler_sources == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "many"),
        ("WORKERS", "-1"),
        ("LEASE_SECS", "0"),
        ("URL", "ftp://x"),
        ("BROKER_URL", "http://user:secret@x"),
        ("CACHE_BUDGET_BYTES", "1.5"),
        ("RAW_DIGEST", "sometimes"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"DATAMILL_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert text.startswith(f"DATAMILL_{name}: ")
    assert "\n" not in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("worker = 4", "datamill.toml: worker is no setting; did you mean workers?"),
        ('[dataset.x]\nhandler = "duts"', "dataset is no setting; did you mean datasets?"),
        ("xyzzy = 1", "datamill.toml: xyzzy is no setting$"),
        (
            '[datasets.x]\nhandlr = "duts"',
            r"datasets\.x\.handlr is no setting; there are: handler, raw",
        ),
    ],
)
def test_what_is_misspelled_in_the_file_is_named(home: Path, text: str, said: str) -> None:
    (home / "datamill.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings()


def test_a_file_that_is_no_toml(home: Path) -> None:
    (home / "datamill.toml").write_text("this is not toml")
    with pytest.raises(SettingsError, match=r"datamill\.toml"):
        load_settings()


def test_settings_in_force_follow_the_environment_and_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = settings_in_force()
    assert settings_in_force() is first
    monkeypatch.setenv("DATAMILL_WORKERS", "7")
    assert settings_in_force().workers == 7
    (home / "datamill.toml").write_text("shard_attempts = 9\n")
    assert settings_in_force().shard_attempts == 9
