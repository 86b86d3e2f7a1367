"""`datamill hooks`: list, test, calls, retry; on a catalog and against a real server."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from datamill.errors import NothingFound, SettingsError
from datamill.settings import load_settings
from datamill_builder.catalog import Catalog, hook_calls
from datamill_builder.hooks_cli import hooks
from tests.support.hook_server import HookServer, answer
from tests.unit.builder.life import Life, request

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


@pytest.fixture(autouse=True)
def home(server: HookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DATAMILL_HOME", str(home))
    (home / "datamill.toml").write_text(
        f"""
        [[hooks]]
        name = "scheduler"
        url = "{server.url}"
        secret = "{SECRET}"
        dataset_names = ["toy"]

        [[hooks]]
        name = "chat"
        command = ["sh", "-c", "echo the chat is away; exit 7"]
        events = ["failed"]
        """
    )
    return home


@pytest.fixture
def own_catalog(home: Path) -> Iterator[Catalog]:
    """The home's catalog, in which one dataset is ready."""
    opened = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    opened.tell_hooks(load_settings().hooks)
    Life(opened).ready(request())
    yield opened
    opened.close()


def run(*words: str) -> Any:
    result = CliRunner().invoke(hooks, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def documents(*words: str) -> Any:
    result = run(*words, "--json")
    return json.loads(result.output)


@pytest.mark.usefixtures("own_catalog")
def test_list_shows_no_secret(server: HookServer) -> None:
    result = run("list")
    heading, scheduler, chat = result.output.splitlines()
    assert heading.split()[:3] == ["NAME", "KIND", "TARGET"]
    words = ["scheduler", "webhook", f"http://localhost:{server.port}", "ready", "failed", "toy"]
    assert scheduler.split() == [*words, "yes", "1", "0"]
    assert chat.split() == ["chat", "command", "sh", "failed", "all", "no", "0", "0"]
    whole = result.output + run("list", "--json").output + run("calls", "--json").output
    assert "very-secret" not in whole
    assert SECRET not in whole
    assert documents("list")["hooks"][0]["calls"] == {"pending": 1, "done": 0, "given_up": 0}


def test_list_without_hooks(home: Path) -> None:
    (home / "datamill.toml").write_text("")
    assert "docs/hooks.md" in run("list").output
    assert documents("list") == {"hooks": []}


def test_test_tells_each_and_says_what_came(server: HookServer) -> None:
    result = run("test")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "ok      scheduler  204 No Content",
        "FAILED  chat  exit code 7: the chat is away",
    ]
    (told,) = server.told
    assert json.loads(told.body)["event"] == "test"
    assert told.headers["webhook-signature"].startswith("v1,")


def test_test_of_some(server: HookServer) -> None:
    result = run("test", "scheduler", "--json")
    assert result.exit_code == 0
    (document,) = json.loads(result.output)["hooks"]
    assert document == {
        "name": "scheduler",
        "id": server.told[0].headers["webhook-id"],
        "told": True,
        "said": "204 No Content",
    }
    server.reactions = [answer(500, b"out of order")]
    result = run("test", "scheduler")
    assert result.exit_code == 1
    assert result.output == "FAILED  scheduler  500 Internal Server Error: out of order\n"


def test_what_is_not_there(home: Path) -> None:
    with pytest.raises(NothingFound, match="no hook is called x: there are scheduler, chat"):
        run("test", "x")
    with pytest.raises(NothingFound, match="no such call"):
        run("retry", "17")
    assert run("calls").output == "no such calls\n"
    (home / "datamill.toml").write_text("")
    with pytest.raises(NothingFound, match=r"none in datamill\.toml"):
        run("test")
    (home / "datamill.toml").write_text("[[hooks]]\n")
    with pytest.raises(SettingsError, match="DATAMILL_HOOKS: hook 1: has either a url or"):
        run("list")


def test_calls_and_retry(own_catalog: Catalog) -> None:
    (call,) = documents("calls")["calls"]
    assert (call["hook"], call["event"], call["dataset_name"]) == ("scheduler", "ready", "toy")
    assert (call["state"], call["attempts"], call["error"]) == ("pending", 0, None)
    assert call["id"].startswith("msg_")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", call["due_at"])

    with own_catalog.write() as change:
        (row,) = hook_calls.due(change.connection, "scheduler")
        claimed = hook_calls.claim(change, row, 60)
        assert claimed is not None
        hook_calls.give_up(change, claimed, "410 Gone: it wants to be told no more")
    number = str(call["call"])
    line = run("calls", "--state", "given_up").output.splitlines()[1]
    short = call["dataset_id"][:12]
    assert line.split()[:7] == [number, "scheduler", "ready", "toy", short, "given_up", "1"]
    assert line.endswith("410 Gone: it wants to be told no more")
    assert run("calls", "--state", "done").output == "no such calls\n"
    assert run("calls", "--hook", "chat").output == "no such calls\n"

    assert run("retry", number).output == "to be made again: 1\n"
    (call,) = documents("calls")["calls"]
    assert (call["state"], call["attempts"]) == ("pending", 0)
    with pytest.raises(NothingFound):
        run("retry", "--given-up")


def test_retry_of_all_that_were_given_up(own_catalog: Catalog) -> None:
    with own_catalog.write() as change:
        assert hook_calls.give_up_unknown(change, [], -1.0) == 1
    with pytest.raises(NothingFound):
        run("retry", "--given-up", "--hook", "chat")
    assert documents("retry", "--given-up", "--hook", "scheduler") == {"calls": 1}


@pytest.mark.parametrize("words", [[], ["--given-up", "1"], ["1", "--hook", "x"], ["0"], ["x"]])
def test_retry_takes_numbers_or_all(words: list[str]) -> None:
    assert run("retry", *words).exit_code == 2


@pytest.mark.parametrize("name", ["list", "test", "calls", "retry"])
def test_help_has_an_example(name: str) -> None:
    output = run(name, "--help").output
    assert re.search(rf"Examples?:\n +datamill hooks {name}", output), output
    assert "--json" in output


def test_help_imports_nothing_heavy() -> None:
    assert isinstance(hooks, click.Group)
    import subprocess
    import sys

    program = (
        "import sys, datamill_builder.hooks_cli\n"
        "assert not {'sqlalchemy', 'pydantic', 'pika'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
