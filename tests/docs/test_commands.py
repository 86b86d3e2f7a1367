"""docs/commands.md against the commands themselves: every one is there, and what it says is so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from datamill import exits
from datamill_producer.cli import datamill
from tests.docs.readme import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
WITHOUT_DATA = {("up",), ("builder",), ("notifier",)}
"""They run until they are stopped, and print nothing that a program would read."""

Path = tuple[str, ...]


def commands(group: click.Group, path: Path = ()) -> Iterator[tuple[Path, click.Command]]:
    """Yield every command of the tree, groups included, with its path."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands(datamill))


def section(path: Path) -> str:
    """Return what stands below the heading of a command."""
    heading = f"### datamill {' '.join(path)}\n"
    assert heading in DOCUMENT, f"docs/commands.md lacks: {heading}"
    return DOCUMENT.split(heading, 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]


def examples(text: str) -> list[str]:
    fences = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for fence in fences for line in fence.splitlines() if line.startswith("datamill ")]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_is_documented_with_an_example_and_its_exit_codes(path: Path) -> None:
    text = section(path)
    assert any(line.startswith(f"datamill {' '.join(path)}") for line in examples(text))
    (codes,) = re.findall(r"^Exit codes: (.+)$", text, re.MULTILINE)
    known = {value for name, value in vars(exits).items() if name.isupper()}
    assert {int(number) for number in re.findall(r"\b\d+\b", codes)} <= known


def test_every_heading_is_a_command() -> None:
    headings = re.findall(r"^### datamill (.+)$", DOCUMENT, re.MULTILINE)
    assert sorted(headings) == sorted(" ".join(path) for path in COMMANDS)


@pytest.mark.parametrize("line", examples(DOCUMENT))
def test_examples_have_only_options_that_there_are(line: str) -> None:
    words = shlex.split(line)[1:]
    path: Path = ()
    while (*path, words[len(path)] if len(path) < len(words) else "") in COMMANDS:
        path = (*path, words[len(path)])
    command = COMMANDS[path]
    known = {name for param in command.params for name in param.opts + param.secondary_opts}
    given = {word.partition("=")[0] for word in words if word.startswith("-") and " " not in word}
    assert given <= known | {"-o"}, line


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_with_an_example(path: Path) -> None:
    done = CliRunner().invoke(datamill, [*path, "--help"])
    assert done.exit_code == 0, done.output
    assert re.search(rf"Examples?:\n +datamill {' '.join(path)}", done.output), done.output


@pytest.mark.parametrize(
    "path",
    [
        path
        for path, command in COMMANDS.items()
        if not isinstance(command, click.Group) and path not in WITHOUT_DATA
    ],
    ids=" ".join,
)
def test_every_command_that_prints_data_does_so_for_programs_too(path: Path) -> None:
    assert any("--json" in param.opts for param in COMMANDS[path].params)


def test_exit_codes_are_those_that_there_are() -> None:
    told = {int(n) for n in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    assert told == {value for name, value in vars(exits).items() if name.isupper()}
