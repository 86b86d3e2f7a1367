from __future__ import annotations

from pathlib import Path

import pytest

from datamill.settings import Settings, load_settings
from datamill_producer.up.children_environment import children_environment


def test_children_read_the_settings_that_up_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options of the command line included, whatever the environment said before."""
    for name in ("DATAMILL_HOME", "DATAMILL_WORKERS", "DATAMILL_URL", "DATAMILL_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATAMILL_URL", "http://elsewhere")
    monkeypatch.setenv("DATAMILL_WORKERS", "7")
    given: Settings = load_settings(
        home=str(tmp_path / "h"),
        raw_root=str(tmp_path / "raw, with a comma"),
        workers=3,
        handler_sources=("/a,b", "git+https://host/x@v1"),
    )
    environment = children_environment(
        given, {"PATH": "/bin", "DATAMILL_WORKERS": "7"}, "amqp://u:p@h/v", "127.0.0.1:80"
    )
    assert environment["PATH"] == "/bin"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = load_settings()
    assert read.home == given.home
    assert read.raw_folder == given.raw_folder
    assert read.workers == 3
    assert read.handler_sources == ("/a,b", "git+https://host/x@v1")
    assert read.broker_url is not None
    assert read.broker_url.get_secret_value() == "amqp://u:p@h/v"
    assert read.listen == "127.0.0.1:80"
    assert read.url is None
    assert read.log_format == "text"


@pytest.mark.parametrize(
    ("wanted", "children"), [("auto", "text"), ("text", "text"), ("json", "json")]
)
def test_log_format(tmp_path: Path, wanted: str, children: str) -> None:
    settings = load_settings(home=str(tmp_path), log_format=wanted)
    environment = children_environment(settings, {}, "amqp://h", "127.0.0.1:80")
    assert environment["DATAMILL_LOG_FORMAT"] == children
