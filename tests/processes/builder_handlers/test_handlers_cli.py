"""`datamill handlers`: list, show and check as a person or a program calls them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from datamill_builder.handlers_cli import handlers
from datamill_producer.cli import datamill
from tests.processes.builder_handlers.test_sources import Repository
from tests.processes.builder_handlers.wrong import SOURCE_OF_WRONG
from tests.support.prepared import prepare
from tests.support.toy import make_toy, write_items
from tests.support.wheels import make_wheel

Run = Callable[..., Result]

DESCRIBED = """
class Described(Good):
    @classmethod
    def describe_options(cls):
        return [
            {"name": "repeat", "type": "integer", "default": 1, "example": 2,
             "allowed": "an integer from 1 to 10", "limits": {"minimum": 1, "maximum": 10},
             "meaning": "How often each line is there."},
            {"name": "prefix", "type": "text", "default": "", "meaning": "Begins each text."},
        ]

class Undescribed(Good):
    @classmethod
    def describe_options(cls):
        return [{"title": "repeat"}]
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two packages of handlers, of which the toy's environment is made."""
    home = tmp_path_factory.mktemp("cli") / "home"
    prepare(home)
    make_toy(home / "wheels", "1.1.0")
    points = {
        "described": "more:Described",
        "undescribed": "more:Undescribed",
        "classic": "more:Classic",
        "dying": "more:Dying",
    }
    source = {"more.py": SOURCE_OF_WRONG + DESCRIBED}
    make_wheel(home / "wheels", "more-handlers", "2.0", source, points)
    write_items(home / "raw", ["a", "b", "c"])
    return home


@pytest.fixture
def run(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATAMILL_HOME", str(prepared))
    monkeypatch.setenv("DATAMILL_HANDLER_SOURCES", str(prepared / "wheels"))
    for name in ("RAW_ROOT", "BROKER_URL", "URL", "DATASETS"):
        monkeypatch.delenv(f"DATAMILL_{name}", raising=False)

    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(datamill, ["handlers", *arguments])

    return run_command


def said(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


# --- help ---


@pytest.mark.parametrize("name", ["list", "show", "check", "prune"])
def test_help_has_an_example_and_says_what_json_is(run: Run, name: str) -> None:
    out = said(run(name, "-h"))
    assert re.search(rf"Examples?:\n +datamill handlers {name}", out)
    assert "--json" in out and ("--handler-source" in out or name == "prune")


def test_the_commands() -> None:
    assert handlers.list_commands(click.Context(handlers)) == ["check", "list", "prune", "show"]


# --- list ---


def test_list_says_what_is_there_and_what_is_made(run: Run, prepared: Path) -> None:
    lines = said(run("list")).splitlines()
    assert lines[0].split() == ["HANDLER", "VERSION", "PACKAGE", "ENVIRONMENT", "SOURCE"]
    rows = [re.split(r" {2,}", line) for line in lines[1 : lines.index("")]]
    toys = [row for row in rows if row[0] == "toy"]
    assert [row[1:3] for row in toys] == [["1.0.0", "toy-handlers"], ["1.1.0", "toy-handlers"]]
    assert re.fullmatch(r"[\d.]+ [kM]?B", toys[0][3]) and toys[1][3] == "not made yet"
    assert [row[0] for row in rows][:2] == ["classic", "described"]
    assert f"{prepared / 'wheels'}: 3 wheels" in lines
    assert f"in {prepared / 'environments'}" in lines[-1]


def test_list_for_programs(run: Run, prepared: Path) -> None:
    told = json.loads(said(run("list", "--json")))
    made, later = [each for each in told["handlers"] if each["handler"] == "toy"]
    assert (made["version"], later["version"]) == ("1.0.0", "1.1.0")
    assert (later["environment"], later["bytes"]) == (None, None)
    folder = prepared / "environments" / made["environment"]
    assert (folder / "bin" / "python").exists()
    blocks = sum(file.lstat().st_blocks * 512 for file in folder.rglob("*"))
    assert made["bytes"] == blocks > 0
    assert told["environments"]["bytes"] >= blocks


def test_list_of_a_git_repository(run: Run, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "handlers")
    repository.release("1.0.0", "v1.0.0")
    repository.release("1.10.0", "1.10.0", "nightly")
    repository.release("1.9.0", "1.9.0")
    source = f"git+file://{repository.folder}"
    out = said(run("list", "--handler-source", source))
    assert f"{source}: versions 1.0.0, 1.9.0, 1.10.0; its handlers are listed once" in out


def test_list_says_which_sources_it_can_not_read(run: Run, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "half-1.0-py3-none-any.whl").write_bytes(b"half")
    sources = [
        str(wheels),
        "/nowhere",
        "git+file:///nowhere",
        "index+https://me:secret@index.test/simple#package=mine,yours",
    ]
    out = said(run("list", *(word for text in sources for word in ("--handler-source", text))))
    assert f"{wheels}: not read: half-1.0-py3-none-any.whl" in out
    assert "/nowhere: is no folder" in out
    assert "git+file:///nowhere: git ls-remote" in out
    assert "***@index.test/simple#package=mine,yours: can't be listed; packages: mine, yours" in out
    assert "secret" not in out
    assert "toy" in out, "what was asked for is kept, whatever the sources have now"


def test_list_without_sources(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "new"))
    out = said(run("list", "--handler-source", str(tmp_path)))
    assert out.startswith(f"{tmp_path}: no wheels\nenvironments made: 0, 0 B, in ")


# --- show ---


def test_show_says_what_each_option_is(run: Run) -> None:
    out = said(run("show", "described", "2.0"))
    assert out.startswith(
        "described 2.0\n"
        "  handler  described of more-handlers 2.0, "
        "more_handlers-2.0-py3-none-any.whl in a folder of wheels\n"
        "  reads    toy: items.txt\n"
        "  works    shard by shard"
    )
    assert (
        "repeat  integer, default 1\n"
        "    an integer from 1 to 10\n"
        "    How often each line is there.\n" in out
    )
    assert 'prefix  text, default ""\n    Begins each text.\n' in out
    assert out.endswith("Example:\n    datamill request described 2.0 -o repeat=2\n")


def test_show_for_programs(run: Run) -> None:
    told = json.loads(said(run("show", "described", "2.0", "--json")))
    assert told["options"][0]["limits"] == {"minimum": 1, "maximum": 10}
    assert told["example"] == {
        "dataset_name": "described",
        "handler_version": "2.0",
        "dataset_config": {"repeat": 2},
    }
    assert (told["package"], told["package_version"]) == ("more-handlers", "2.0")


def test_show_of_a_classic_handler_tells_what_its_defaults_tell(run: Run) -> None:
    out = said(run("show", "classic", "2.0"))
    assert "works    as one piece of work" in out
    assert "count  number, default 3\n" in out
    assert out.endswith("datamill request classic 2.0 -o count=3\n")


def test_show_follows_the_settings_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"lines": {"handler": "toy", "raw": "elsewhere"}}
    monkeypatch.setenv("DATAMILL_DATASETS", json.dumps(named))
    out = said(run("show", "lines", "1.0.0"))
    assert out.startswith("lines 1.0.0\n  handler  toy of toy-handlers 1.0.0")
    assert "reads    elsewhere" in out


def test_show_makes_the_environment(run: Run, prepared: Path) -> None:
    before = len(list((prepared / "environments").glob("*/pyvenv.cfg")))
    said(run("show", "toy", "1.1.0"))
    assert len(list((prepared / "environments").glob("*/pyvenv.cfg"))) == before + 1
    rows = json.loads(said(run("list", "--json")))["handlers"]
    assert all(row["bytes"] for row in rows if row["handler"] == "toy")
    catalog = prepared / "catalog.sqlite"
    assert catalog.exists(), "a builder of this home finds it made"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("toy", "9.9"), 5, "no handler toy in version 9.9; there are: 1.0.0, 1.1.0"),
        (("nobody", "1.0.0"), 5, "no handler and no raw data are called nobody; in the raw root"),
        (("Toy", "1.0.0"), 2, "dataset_name"),
        (("toy", "../1.0.0"), 2, "handler_version"),
        (("undescribed", "2.0"), 1, "describe_options() returned options.0.name: Field required"),
    ],
)
def test_show_refuses_as_a_request_would_be(
    run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run("show", *arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert words in result.stderr and result.stderr.count("\n") == 1


def test_raw_data_for_another_handler(run: Run, prepared: Path) -> None:
    (prepared / "raw" / "ecssd").mkdir()
    result = run("show", "ecssd", "1.0.0")
    shutil.rmtree(prepared / "raw" / "ecssd")
    assert result.exit_code == 5
    assert '[datasets.ecssd] handler = "…"' in result.stderr


# --- check ---


def the_wheel(prepared: Path) -> str:
    return str(prepared / "wheels" / "more_handlers-2.0-py3-none-any.whl")


def test_check_prints_a_line_per_demand(run: Run, prepared: Path) -> None:
    out = said(run("check", the_wheel(prepared), "--handler", "described"))
    lines = out.splitlines()
    assert lines[0].split() == ["ok", "wheel", "more_handlers-2.0-py3-none-any.whl"]
    assert lines[lines.index("described") - 1] == ""
    assert all(line.startswith("ok ") for line in lines[lines.index("described") + 1 : -2])
    assert lines[-1] == "all demands are met"
    assert not list((prepared / "store" / "scratch").iterdir()), "nothing is kept"


def test_check_says_what_to_do(run: Run, prepared: Path) -> None:
    result = run("check", the_wheel(prepared), "--handler", "dying")
    assert result.exit_code == 1
    assert re.search(r"FAILED  records +the handler's process ended .*SIGKILL", result.stdout)
    assert "what to do: write_shard() has to write a TFRecord file" in result.stdout
    assert re.search(r"^-       equal bytes twice +needs: records$", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("1 of 16 demands are not met\n")


def test_check_for_programs(run: Run, prepared: Path) -> None:
    result = run(
        "check", the_wheel(prepared), "--handler", "dying", "--handler", "classic", "--json"
    )
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False
    failed = [each for each in told["demands"] if each["verdict"] == "failed"]
    assert [(each["handler"], each["demand"]) for each in failed] == [("dying", "records")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("/nowhere",), 2, "does not exist"),
        ((".", "--config", "{"), 2, "--config: it is not JSON"),
        ((".", "--config", "[]"), 2, "--config: it is not a JSON object"),
        ((".", "--raw", "/nowhere"), 2, "--raw"),
    ],
)
def test_check_refuses_wrong_command_lines(
    run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run("check", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_check_of_a_handler_that_is_not_there(run: Run, prepared: Path) -> None:
    result = run("check", the_wheel(prepared), "--handler", "better")
    assert result.exit_code == 5
    assert "there are: classic, described, dying, undescribed" in result.stderr


def test_a_home_that_can_not_be_is_code_78(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "file" / "home"))
    for arguments in (["list"], ["show", "toy", "1.0.0"], ["check", str(tmp_path)]):
        result = run(*arguments)
        assert result.exit_code == 78
        assert result.stderr.startswith("datamill: DATAMILL_HOME")
