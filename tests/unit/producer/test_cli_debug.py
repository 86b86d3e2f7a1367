"""Every command: what goes wrong is one line, and with `--debug`, anywhere, the traceback too."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from datamill_builder.cli import builder
from datamill_notifier.cli import notifier
from datamill_producer.cli import datamill

ID = "0" * 64
ARGUMENTS = {
    "request": ("toy", "1.0.0"),
    "show": (ID,),
    "explain": (ID, "1" * 64),
    "status": (ID,),
    "watch": (ID,),
    "get": (ID,),
    "handlers show": ("toy", "1.0.0"),
    "handlers check": (".",),
    "raw add": (".",),
    "raw refresh": ("toy",),
    "cancel": (ID,),
    "pin": (ID,),
    "unpin": (ID,),
    "evict": (ID,),
    "rebuild": ("--check", ID),
    "replay": ("--failed",),
    "dead show": ("1",),
    "dead replay": ("1",),
    "dead drop": ("1",),
    "hooks test": (ID,),
    "hooks retry": ("1",),
}
"""What a command needs on its line; nothing, where it is not named here."""


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every command that does something, whoever brings it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(leaves(datamill))
each_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Services take signals over; the tests want theirs back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """A setting is wrong, which every command finds."""
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DATAMILL_WORKERS", "many")
    monkeypatch.delenv("DATAMILL_BROKER_URL", raising=False)
    monkeypatch.delenv("DATAMILL_URL", raising=False)
    return CliRunner()


def run(runner: CliRunner, command: click.Command, *line: str) -> Result:
    result = runner.invoke(command, line)
    assert result.exit_code == 78, result.output
    assert result.stdout == ""
    return result


@each_command
def test_one_line_without_it(wrong: CliRunner, path: tuple[str, ...]) -> None:
    result = run(wrong, datamill, *path, *ARGUMENTS.get(" ".join(path), ()))
    (line,) = result.stderr.splitlines()
    assert line.startswith("datamill")
    assert "DATAMILL_WORKERS" in line


@pytest.mark.parametrize("place", [0, 1, None], ids=["before", "after the first", "at the end"])
@each_command
def test_the_traceback_with_it(wrong: CliRunner, path: tuple[str, ...], place: int | None) -> None:
    line = [*path, *ARGUMENTS.get(" ".join(path), ())]
    line.insert(len(line) if place is None else place, "--debug")
    result = run(wrong, datamill, *line)
    assert result.stderr.startswith("Traceback")
    assert "DATAMILL_WORKERS" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [builder, notifier], ids=["builder", "notifier"])
def test_services_by_their_own_names(wrong: CliRunner, command: click.Command) -> None:
    assert run(wrong, command).stderr.count("\n") == 1
    assert run(wrong, command, "--debug").stderr.startswith("Traceback")
