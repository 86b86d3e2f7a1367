"""The command as a whole: help, exit codes, one-line errors, laziness."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from datamill import exits
from datamill.errors import (
    BrokerRefused,
    DatamillError,
    InvalidRequest,
    NotAllowed,
    NothingFound,
    RequestFailed,
    ServiceUnavailable,
    SettingsError,
    WaitTimeout,
)
from datamill_producer.cli import EPILOG, SECTIONS, datamill
from datamill_producer.lazy_group import BorrowedCommand, LazyGroup, OwnCommand


def own_commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every command of this distribution, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if path or isinstance(SECTIONS_BY_NAME.get(name), OwnCommand):
            command = group.get_command(context, name)
            assert command is not None
            yield (*path, name)
            if isinstance(command, click.Group):
                yield from own_commands(command, (*path, name))


SECTIONS_BY_NAME = {name: c for section in SECTIONS.values() for name, c in section.items()}
COMMANDS = list(own_commands(datamill))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DATAMILL_BROKER_URL", raising=False)
    monkeypatch.delenv("DATAMILL_URL", raising=False)
    return CliRunner()


def test_all_commands_are_there() -> None:
    names = {"request", "show", "explain", "status", "list", "watch", "get", "up", "cancel"}
    names |= {"replay", "dead", "top", "doctor", "pin", "unpin", "evict", "gc"}
    assert {path[0] for path in COMMANDS} == names
    assert {path[1] for path in COMMANDS if len(path) == 2} == {
        "list",
        "show",
        "replay",
        "drop",
        "log",
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_says_what_json_is(run: CliRunner, path: tuple[str, ...]) -> None:
    result = run.invoke(datamill, [*path, "-h"])
    assert result.exit_code == 0
    assert re.search(rf"Examples?:\n +datamill {' '.join(path)}", result.output), result.output
    if path not in (("up",), ("dead",)):
        assert "--json" in result.output


def test_help_names_every_exit_code() -> None:
    told = {int(number) for number in re.findall(r"^ +(\d+)  ", EPILOG, re.MULTILINE)}
    known = {value for name, value in vars(exits).items() if name.isupper()}
    assert told == known


def test_help_is_quick_and_imports_no_server() -> None:
    program = (
        "import sys, time\n"
        "from datamill_producer.cli import datamill\n"
        "datamill(['--help'], standalone_mode=False)\n"
        "heavy = {'sqlalchemy', 'aiohttp', 'pika', 'pydantic', 'rich', 'tensorflow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert time.process_time() < 0.4, time.process_time()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "builder" in done.stdout
    assert "notifier" in done.stdout


def test_version(run: CliRunner) -> None:
    assert re.fullmatch(
        r"datamill, version \d+\.\d+\.\d+\n", run.invoke(datamill, ["--version"]).output
    )


def test_completion_offers_commands_without_importing_them() -> None:
    program = (
        "import sys\n"
        "from datamill_producer.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    assert not {'sqlalchemy', 'aiohttp'} & set(sys.modules)\n"
    )
    environment = {
        "_DATAMILL_COMPLETE": "bash_complete",
        "COMP_WORDS": "datamill b",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["plain,builder"]


def group_with(error: BaseException | None = None) -> LazyGroup:
    sections = {"All": {"absent": BorrowedCommand("Not here.", "datamill-absent")}}
    group = LazyGroup(
        "datamill", sections=sections, params=[click.Option(["--debug"], is_flag=True)]
    )

    @group.command("fail")
    def fail() -> None:
        if error:
            raise error

    group.callback = lambda debug: None
    # `LazyGroup` knows its tables; a command that was added is found as click does it.
    group.get_command = lambda ctx, name: (
        group.commands.get(name) or LazyGroup.get_command(group, ctx, name)
    )  # type: ignore[method-assign]
    return group


def test_a_missing_distribution_is_said_clearly(run: CliRunner) -> None:
    result = run.invoke(group_with(), ["absent"])
    assert result.exit_code == 1
    assert "pip install datamill-absent" in result.output
    assert "Not here." in run.invoke(group_with(), ["--help"]).output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatamillError(), 1),
        (InvalidRequest(), 2),
        (RequestFailed("bad_data", "no images", False, "0" * 64), 3),
        (WaitTimeout(), 4),
        (NothingFound(), 5),
        (ServiceUnavailable(), 69),
        (BrokerRefused(), 77),
        (NotAllowed(), 77),
        (SettingsError(), 78),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_a_line_and_a_code(run: CliRunner, error: BaseException, code: int) -> None:
    result = run.invoke(group_with(error), ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.count("\n") == (0 if isinstance(error, KeyboardInterrupt) else 1)


def test_an_error_is_one_line_without_passwords(run: CliRunner) -> None:
    error = DatamillError("amqp://me:secret@host/x is away\nsecond line")
    result = run.invoke(group_with(error), ["fail"])
    assert result.stderr == "datamill: amqp://me:***@host/x is away\n"


def test_debug_shows_the_traceback(run: CliRunner) -> None:
    result = run.invoke(group_with(DatamillError("oh")), ["--debug", "fail"])
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("datamill: oh\n")


@pytest.mark.parametrize("arguments", [["fail", "--debug"], ["--debug", "fail"]])
def test_debug_may_stand_anywhere(run: CliRunner, arguments: list[str]) -> None:
    assert "Traceback" in run.invoke(group_with(DatamillError("oh")), arguments).stderr


def test_debug_behind_two_dashes_is_somebody_elses(run: CliRunner) -> None:
    result = run.invoke(group_with(DatamillError("oh")), ["fail", "--", "--debug"])
    assert result.exit_code == 2
    assert "unexpected extra argument (--debug)" in result.stderr


def test_what_the_system_refuses_is_a_line_too(run: CliRunner) -> None:
    result = run.invoke(group_with(PermissionError(13, "Permission denied", "file")), ["fail"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "Permission denied" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["request", "toy"],
        ["request", "toy", "1", "--config", "[1]"],
        ["request", "toy", "1", "--exec", "true", "--no-wait"],
        ["request", "toy", "1", "--timeout", "3"],
        ["request", "toy", "1", "--exec", "'unclosed"],
        ["status", "nothex"],
        ["show", "nothex"],
        ["explain", "5a57948d"],
        ["explain", "5a57948d", "toy 1 -x"],
        ["explain", "5a57948d", "@no-such-file"],
        ["explain", "{", "5a57948d"],
        ["watch", "--bar", "--json", "5a57948d"],
        ["list", "--sort", "colour"],
        ["watch"],
        ["list", "--state", "lost"],
        ["replay"],
        ["replay", "--dead", "--failed"],
        ["replay", "--since", "yesterday"],
        ["replay", "--failed", "--rate", "0"],
        ["replay", "--failed", "--timeout", "3"],
        ["dead", "drop"],
        ["dead", "replay", "1", "--all"],
        ["up", "--workers", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_command_lines_are_code_2(
    run: CliRunner, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAMILL_URL", "http://127.0.0.1:1")
    result = run.invoke(datamill, arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["request", "toy", "1"],
        ["status"],
        ["status", "0" * 64],
        ["list", "--json"],
        ["show", "0" * 64],
        ["explain", "0" * 64, "toy 1.0.0 -o prefix=a"],
        ["top", "--once"],
        ["watch", "0" * 64],
        ["get", "0" * 64],
        ["cancel", "0" * 64],
        ["replay", "--failed"],
        ["dead", "list", "--json"],
    ],
    ids=" ".join,
)
def test_without_a_service_every_command_says_what_to_do(
    run: CliRunner, arguments: list[str]
) -> None:
    result = run.invoke(datamill, arguments)
    assert (result.exit_code, result.stdout) == (69, ""), result.output
    assert "`datamill up`" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("statsu", "status"),
        ("biulder", "builder"),
        ("dead lits", "list"),
        ("handlers chekc", "check"),
        ("status --jsno", "--json"),
    ],
)
def test_what_is_mistyped_gets_the_near_one(run: CliRunner, typed: str, meant: str) -> None:
    result = run.invoke(datamill, typed.split())
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.stderr.splitlines()[-1]


def test_nothing_is_near_to_what_is_far(run: CliRunner) -> None:
    assert "Did you mean" not in run.invoke(datamill, ["zzz"]).stderr


def test_a_bad_setting_is_code_78(run: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAMILL_WORKERS", "many")
    result = run.invoke(datamill, ["list"])
    assert result.exit_code == 78
    assert result.stderr.startswith("datamill: DATAMILL_WORKERS")


def test_a_home_that_can_not_be_is_code_78(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run.invoke(datamill, ["up", "--home", str(tmp_path / "file" / "home")])
    assert result.exit_code == 78
    assert "DATAMILL_HOME" in result.stderr
