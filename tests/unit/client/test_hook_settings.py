"""Hooks in the settings: what is taken, what is refused, and that no secret is shown."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from datamill.errors import SettingsError
from datamill.hook_settings import HookSettings
from datamill.settings import load_settings

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
TOKEN = "https://chat.example/services/T0/B0/very-secret-token"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path))
    return tmp_path


def test_none_by_default() -> None:
    assert load_settings().hooks == ()


def test_tables_of_the_file(home: Path) -> None:
    (home / "datamill.toml").write_text(
        f"""
        [[hooks]]
        name = "scheduler"
        url = "https://scheduler.example/datamill?queue=gpu"
        secret = "{SECRET}"
        events = ["ready", "failed", "evicted"]
        dataset_names = ["coco*", "duts"]
        timeout_secs = 5

        [[hooks]]
        command = ["/usr/local/bin/tell-chat", "--channel", "data"]
        """
    )
    webhook, command = load_settings().hooks
    assert (webhook.name, webhook.kind) == ("scheduler", "webhook")
    assert webhook.target == "https://scheduler.example"
    assert webhook.events == ("ready", "failed", "evicted")
    assert [webhook.takes(name) for name in ("coco", "coco_clicks", "duts", "dut")] == [
        True,
        True,
        True,
        False,
    ]
    assert webhook.timeout_secs == 5.0
    assert (command.kind, command.target) == ("command", "/usr/local/bin/tell-chat")
    assert command.command == ("/usr/local/bin/tell-chat", "--channel", "data")
    assert command.name.startswith("tell-chat-")
    assert command.events == ("ready", "failed")
    assert command.takes("anything")


def test_json_in_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAMILL_HOOKS", json.dumps([{"url": TOKEN}, {"command": ["true"]}]))
    webhook, command = load_settings().hooks
    assert webhook.name.startswith("chat.example-")
    assert command.command == ("true",)


def test_a_name_stays_as_long_as_the_target_does() -> None:
    first, again = HookSettings(url=TOKEN), HookSettings(url=TOKEN, timeout_secs=3)  # type: ignore[arg-type]
    other = HookSettings(url=TOKEN + "2")  # type: ignore[arg-type]
    assert first.name == again.name != other.name


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ({}, "hook 1: has either a url or a command"),
        ({"url": TOKEN, "command": ["x"]}, "hook 1: has either a url or a command"),
        ({"command": [""]}, "hook 1: has a command without a program"),
        ({"command": ["x"], "secret": SECRET}, "a command needs none"),
        ({"url": "ftp://very-secret-token"}, "hook 1: url: is no http"),
        ({"url": "https:///very-secret-token"}, "hook 1: url: is no http"),
        ({"url": "https://a.example:99999/very-secret-token"}, "hook 1: url: is no http"),
        ({"url": "https://[very-secret-token"}, "hook 1: url: is no http"),
        ({"url": "https://a.example/very-secret-token\n"}, "hook 1: url: is no http"),
        ({"url": "https://a.example/very-secret-tokén"}, "hook 1: url: is no http"),
        ({"url": "https://ada:very-secret-token@a.example/"}, "hook 1: url: holds a user's name"),
        ({"url": TOKEN, "secret": "very-secret-token"}, "hook 1: secret: is not whsec_"),
        ({"url": TOKEN, "secret": "whsec_very-secret-token"}, "hook 1: secret: is not whsec_"),
        ({"url": TOKEN, "secret": "whsec_AAAA"}, "hook 1: secret: is not whsec_ and 24 to 64"),
        ({"url": TOKEN, "events": []}, "hook 1: events: "),
        ({"url": TOKEN, "events": ["shard"]}, "hook 1: events: 1: "),
        ({"url": TOKEN, "timeout_secs": 0}, "hook 1: timeout_secs: "),
        ({"url": TOKEN, "name": "a name"}, "hook 1: name: letters, digits"),
        ({"url": TOKEN, "secrets": "very-secret-token"}, "hook 1: secrets is no setting of a hook"),
        ("very-secret-token", "hook 1: "),
    ],
)
def test_what_is_refused_is_said_in_a_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch, hook: Any, said: str
) -> None:
    monkeypatch.setenv("DATAMILL_HOOKS", json.dumps([hook]))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert text.startswith("DATAMILL_HOOKS: ")
    assert said in text
    assert "\n" not in text
    assert "very-secret" not in text
    # Not by a traceback either: `--debug` prints the cause.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_two_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAMILL_HOOKS", json.dumps([{"url": TOKEN}, {"url": TOKEN}]))
    with pytest.raises(SettingsError, match=r"2 are called chat\.example-[0-9a-f]{6}: give each"):
        load_settings()


def test_secrets_are_not_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAMILL_HOOKS", json.dumps([{"url": TOKEN, "secret": SECRET}]))
    settings = load_settings()
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "very-secret" not in text
        assert SECRET not in text
