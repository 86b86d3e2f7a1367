"""`datamill raw`: list, add and refresh, as a person or a program calls them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datamill.settings import load_settings
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds
from datamill_producer.cli import datamill
from tests.support.prepared import prepare
from tests.support.toy import write_items
from tests.unit.builder.recipes import recipe

Run = Callable[..., Result]

WRITTEN = "# Ours.\nworkers = 3  # three\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("raw") / "home")


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    shutil.copytree(prepared, home, symlinks=True)
    write_items(home / "raw", ["a", "b", "c"])
    (home / "datamill.toml").write_text(WRITTEN)
    return home


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATAMILL_HOME", str(home))
    monkeypatch.setenv("DATAMILL_HANDLER_SOURCES", str(home / "wheels"))
    for name in ("RAW_ROOT", "BROKER_URL", "URL", "DATASETS", "WORKERS", "CATALOG_URL"):
        monkeypatch.delenv(f"DATAMILL_{name}", raising=False)
    return lambda *arguments: CliRunner().invoke(datamill, ["raw", *arguments])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with items for the toy, outside of the raw root."""
    return write_items(tmp_path / "data", ["x", "y"], dataset="OTHER").parent


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def listed(run: Run) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in document(run("list", "--json"))["raw"]}


def built(home: Path, version: str, content_key: str, state: str = "ready") -> None:
    """Have a build of the toy be in the catalog."""
    its = recipe().model_copy(update={"raw_version": version})
    row = {
        "content_key": content_key,
        "dataset_name": "toy",
        "state": state,
        "recipe": its.model_dump_json(),
        "archive": f"toy_1.0.0_{content_key}.zip",
        "bytes": 5,
        "created_at": 0.0,
    }
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    with catalog.write() as change:
        change.connection.execute(builds.insert(), row)
    catalog.close()


# --- list ---


def test_list_before_anything_was_seen_counts_files(run: Run, home: Path) -> None:
    (home / "raw" / "UPPER").mkdir()
    found = listed(run)
    assert (found["toy"]["handler"], found["toy"]["files"], found["toy"]["bytes"]) == ("toy", 1, 6)
    assert found["toy"]["versions"] == []
    assert found["UPPER"]["files"] == 0
    text = run("list").stdout
    assert text.splitlines()[0].split()[:3] == ["NAME", "HANDLER", "FILES"]
    assert "raw add --name" in next(line for line in text.splitlines() if "UPPER" in line)


def test_list_says_which_archives_are_of_which_version(run: Run, home: Path) -> None:
    version = document(run("refresh", "toy", "--json"))["after"]
    built(home, version, "a" * 64)
    built(home, "0" * 64, "b" * 64)
    first, second = listed(run)["toy"]["versions"]
    assert (first["version"], second["version"]) == (version, "0" * 64)
    assert [build["content_key"] for build in first["builds"]] == ["a" * 64]
    assert [build["content_key"] for build in second["builds"]] == ["b" * 64]
    text = run("list", "toy").stdout
    assert f"version {version[:12]}: 1 files" in text
    assert f"toy_1.0.0_{'b' * 64}.zip" in text
    assert run("list", "nothing").exit_code == 5


def test_list_of_an_empty_root(run: Run, home: Path) -> None:
    shutil.rmtree(home / "raw")
    result = run("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "datamill raw add" in result.stderr


# --- add ---


def test_add_under_another_name_writes_a_setting_and_keeps_the_rest(
    run: Run, home: Path, elsewhere: Path
) -> None:
    told = document(run("add", str(elsewhere), "--name", "mine", "--handler", "toy", "--json"))
    assert told["splits"] == {"train": {"items": 2, "records": 2}}
    assert told["setting"] == {"handler": "toy", "raw": str(elsewhere)}
    text = (home / "datamill.toml").read_text()
    assert text.startswith(WRITTEN)
    dataset = load_settings(home=home).datasets["mine"]
    assert (dataset.handler, dataset.raw) == ("toy", str(elsewhere))
    mine = listed(run)["mine"]
    assert (mine["handler"], mine["folder"], mine["files"]) == ("toy", str(elsewhere), 1)
    assert [version["version"] for version in mine["versions"]] == [told["raw_version"]]
    again = run("add", str(elsewhere), "--name", "mine", "--handler", "toy")
    assert again.exit_code == 78
    assert "--name" in again.stderr


def test_add_of_a_folder_in_the_raw_root_names_it_below_that(run: Run, home: Path) -> None:
    write_items(home / "raw", ["x"], dataset="MORE")
    told = document(
        run("add", str(home / "raw" / "MORE"), "--name", "more", "--handler", "toy", "--json")
    )
    assert told["setting"] == {"handler": "toy", "raw": "MORE"}
    assert set(listed(run)) == {"toy", "more"}, "MORE is no other one"


def test_add_for_a_handlers_own_name_makes_a_link(run: Run, home: Path, elsewhere: Path) -> None:
    shutil.rmtree(home / "raw" / "toy")
    result = run("add", str(elsewhere), "--name", "toy")
    assert result.exit_code == 0, result.output
    assert (home / "raw" / "toy").resolve() == elsewhere.resolve()
    assert (home / "datamill.toml").read_text() == WRITTEN
    assert "toy 1.0.0: train: 2 items, 2 records" in result.stdout
    assert "datamill request toy 1.0.0" in result.stdout


def test_add_of_what_is_there_already_only_looks(run: Run, home: Path) -> None:
    result = run("add", str(home / "raw" / "toy"))
    assert result.exit_code == 0, result.output
    assert "in the raw root already" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--name", "toy"], 78, "choose another --name"),
        (["--name", "NO"], 2, "--name"),
        ([], 2, "'OTHER' can't be a dataset's name"),
        (["--name", "new"], 5, "no handler new is known"),
        (["--name", "new", "--handler", "toy", "--version", "9"], 5, "there are: 1.0.0"),
        (["--name", "new", "--handler", "toy", "--config", '{"repeat": 99}'], 1, "from 1 to 10"),
        (["--name", "new", "--handler", "toy", "--config", "[]"], 2, "JSON object"),
    ],
)
def test_what_can_not_be_added_changes_nothing(
    run: Run, home: Path, elsewhere: Path, arguments: list[str], code: int, words: str
) -> None:
    result = run("add", str(elsewhere), *arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert (home / "datamill.toml").read_text() == WRITTEN
    assert [path.name for path in (home / "raw").iterdir()] == ["toy"]


def test_add_of_what_the_handler_finds_nothing_in(run: Run, home: Path, elsewhere: Path) -> None:
    (elsewhere / "items.txt").write_text("")
    result = run("add", str(elsewhere), "--name", "new", "--handler", "toy")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "found no source items" in result.stderr
    assert "datamill handlers show toy 1.0.0" in result.stderr
    (elsewhere / "items.txt").unlink()
    assert run("add", str(elsewhere), "--name", "new", "--handler", "toy").exit_code == 1
    assert (home / "datamill.toml").read_text() == WRITTEN


# --- refresh ---


def test_refresh_says_what_has_changed_and_what_stays(run: Run, home: Path) -> None:
    first = document(run("refresh", "toy", "--json"))
    assert (first["changed"], first["before"], first["files"]) == (True, None, 1)
    assert "nothing has changed" in run("refresh", "toy").stdout
    built(home, first["after"], "a" * 64)
    built(home, first["after"], "b" * 64, state="evicted")
    write_items(home / "raw", ["a", "b", "d", "e"])
    (home / "raw" / "toy" / "more.txt").write_text("!")
    text = run("refresh", "toy").stdout
    assert "1 added" in text and "1 changed" in text and "removed" not in text
    assert "items.txt" in text and "more.txt" in text
    assert "1 archive of older versions stays" in text
    told = document(run("refresh", "toy", "--json"))
    assert told["changed"] is False
    assert told["older_archives"] == [f"toy_1.0.0_{'a' * 64}.zip"]


def test_refresh_of_what_is_not_there(run: Run) -> None:
    result = run("refresh", "nothing")
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1)
