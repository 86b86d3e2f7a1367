"""`datamill handlers check`: what is wrong with a package is found, and nothing else is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datamill.errors import NothingFound
from datamill.settings import Settings, load_settings
from datamill_builder.handler_check.checking import check
from datamill_builder.handler_check.demand import Finding
from tests.processes.builder_handlers.wrong import SOURCE_OF_WRONG
from tests.support.toy import write_items
from tests.support.wheels import make_wheel

WRONG: dict[str, dict[str, str]] = {
    "Good": {},
    "Random": {
        "equal bytes twice": "another process writes the same items with other bytes",
        "equal bytes in another order": "becomes other bytes",
    },
    "Counting": {"equal bytes in another order": "becomes other bytes"},
    "Unannounced": {"announced features": "record 0: it holds number"},
    "NoFeatures": {"features": "feature_spec() returned"},
    "Unsorted": {"same plan twice": "in another order"},
    "Repeating": {"same plan twice": "is there 2 times"},
    "PlansText": {"plan": "the plan is not a JSON object per line"},
    "PlansLess": {"plan": "train.jsonl has 1 items, said were 3"},
    "Empty": {"plan": "the handler found no source items"},
    "NeedsConfig": {"empty config": "repeat has to be given"},
    "Lenient": {"bad config": '{"no_such_option": 1} is taken'},
    "Nameless": {"bad config": "is refused without its name: something is wrong"},
    "Crashing": {"bad config": "is a handler_error: TypeError"},
    "Drifting": {"resolved config": "repeat was 2 and is 3"},
    "Lacking": {"resolved config": "resolved_config() lacks prefix"},
    "NotJson": {"empty config": "resolved_config() returned what JSON can't hold"},
    "Dying": {"records": "SIGKILL"},
    "Raising": {"records": "RuntimeError: in the middle"},
    "Boasting": {"records": "records; its file has"},
    "NoRecords": {"records": "gave no record; the first: "},
    "Untidy": {"raw data untouched": "changed or new: cache.tmp"},
    "Classic": {},
    "ClassicRandom": {"equal bytes twice": "another process writes other bytes"},
    "ClassicNowhere": {"records": "named nowhere.tfrecord, which is no file"},
    "ClassicOther": {"records": "no TFRecord file"},
    "ClassicEmpty": {"records": "no record is in its files"},
    "NoHandler": {"contract": "is no handler: it lacks config_options"},
}
"""Handler → the demands that it does not meet, and words of what is said."""

SHARDED = [
    "contract",
    "empty config",
    "resolved config",
    "config",
    "bad config",
    "features",
    "plan",
    "same plan twice",
    "records",
    "announced features",
    "equal bytes twice",
    "equal bytes in another order",
    "raw data untouched",
]
CLASSIC = [*SHARDED[:5], "records", "announced features", "equal bytes twice", SHARDED[-1]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    write_items(home / "raw", [f"item {number}" for number in range(20)])
    return load_settings(home=home, handler_sources=(str(home / "wheels"),))


Check = Callable[..., list[Finding]]


@pytest.fixture
def checked(settings: Settings, tmp_path: Path) -> Check:
    def run(path: Path, **options: Any) -> list[Finding]:
        (tmp_path / "work").mkdir()
        return list(check(path, tmp_path / "work", settings, **options))

    return run


def unmet(findings: list[Finding]) -> dict[str, str]:
    return {each.demand: each.says for each in findings if each.verdict == "failed"}


@pytest.fixture(scope="module")
def all_checked(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """One package with all of them: to make an environment takes longer than to look at one."""
    folder = tmp_path_factory.mktemp("wrong")
    points = {name.lower(): f"wrong:{name}" for name in WRONG}
    wheel = make_wheel(folder, "wrong", "1.0.0", {"wrong.py": SOURCE_OF_WRONG}, points)
    write_items(folder / "home" / "raw", [f"item {number}" for number in range(20)])
    settings = load_settings(home=folder / "home", handler_sources=(str(folder),))
    (folder / "work").mkdir()
    return list(check(wheel, folder / "work", settings))


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(all_checked: list[Finding], name: str) -> None:
    found = [finding for finding in all_checked if finding.handler == name.lower()]
    failed = unmet(found)
    assert failed.keys() == WRONG[name].keys(), failed
    for demand, words in WRONG[name].items():
        assert words in failed[demand]
    assert all(finding.advice for finding in found if finding.verdict == "failed")
    classic = name.startswith("Classic")
    assert [finding.demand for finding in found] == (CLASSIC if classic else SHARDED)


def test_what_needs_another_demand_is_not_tried(all_checked: list[Finding]) -> None:
    found = [finding for finding in all_checked if finding.handler == "empty"]
    after = found[SHARDED.index("plan") + 1 :]
    assert {finding.verdict for finding in after} == {"not tried"}
    assert {finding.says for finding in after} == {"needs: plan"}


def test_a_traceback_is_told_where_a_handler_raises_what_it_did_not_mean_to(
    all_checked: list[Finding],
) -> None:
    failed = {f.handler: f for f in all_checked if f.verdict == "failed"}
    assert 'wrong.py", line' in failed["raising"].traceback
    assert failed["needsconfig"].traceback == "", "it says what it means"
    assert failed["notjson"].traceback == "", "the builder's own lines are of no use"


def folder_of(folder: Path, **pyproject: str) -> Path:
    """Write a package that is built by a backend of its own, which writes what it is told."""
    folder.mkdir()
    support = Path(make_wheel.__code__.co_filename).read_text()
    (folder / "tests_wheel.py").write_text(support)
    (folder / "toy.py").write_text(SOURCE_OF_WRONG)
    (folder / "backend.py").write_text(
        "import sys\nsys.dont_write_bytecode = True\nfrom pathlib import Path\n"
        "from tests_wheel import make_wheel\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    source = {'toy.py': Path('toy.py').read_text()}\n"
        "    return make_wheel(Path(folder), 'toy', '1.0.0', source, {'good': 'toy:Good'}).name\n"
    )
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    return folder


def test_a_folder_is_built(checked: Check, tmp_path: Path) -> None:
    package = folder_of(tmp_path / "package")
    found = checked(package, config={"repeat": 2})
    assert unmet(found) == {}
    assert found[0].says == "toy-1.0.0-py3-none-any.whl"
    (plan,) = [finding.says for finding in found if finding.demand == "plan"]
    assert plan.startswith("train: 20 items, 40 records of ")
    assert not list(package.rglob("*.whl")), "nothing is left in it"


def test_a_folder_that_can_not_be_built(checked: Check, tmp_path: Path) -> None:
    package = folder_of(tmp_path / "package")
    (package / "backend.py").write_text("def build_wheel(*a): raise RuntimeError('out of wheels')")
    found = checked(package)
    assert found[0].verdict == "failed" and "out of wheels" in found[0].says
    assert [finding.verdict for finding in found[1:]] == ["not tried", "not tried"]


def test_what_is_no_package(checked: Check, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = checked(tmp_path / "empty")
    assert unmet(found) == {"wheel": "no pyproject.toml is in this folder"}


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("notes.txt", "notes.txt is no wheel"),
        ("x-1.0-py3-none-any.whl", "can't be read as a wheel"),
    ],
)
def test_a_file_that_is_no_wheel(checked: Check, tmp_path: Path, file: str, words: str) -> None:
    (tmp_path / file).write_text("text")
    assert words in unmet(checked(tmp_path / file))["wheel"]


@pytest.mark.parametrize(
    ("handlers", "version", "words"),
    [
        ({}, "1.0.0", "the group datamill.handlers has no entry points"),
        ({"Upper": "toy:Good"}, "1.0.0", "Upper can't be asked for"),
        ({"good": "toy:Good"}, "1!2.0", "the version 1!2.0 can't be asked for"),
    ],
)
def test_entry_points_that_nobody_can_ask_for(
    checked: Check, tmp_path: Path, handlers: dict[str, str], version: str, words: str
) -> None:
    wheel = make_wheel(tmp_path, "toy", version, {"toy.py": SOURCE_OF_WRONG}, handlers)
    assert words in unmet(checked(wheel))["entry points"]


def test_what_it_needs_has_to_be_there(checked: Check, tmp_path: Path) -> None:
    needs = ("datamill-no-such-package @ file:///nowhere/x-1.0-py3-none-any.whl",)
    wheel = make_wheel(tmp_path, "toy", "1.0.0", {}, {"good": "toy:Good"}, needs)
    found = checked(wheel)
    assert "its packages could not be resolved" in unmet(found)["environment"]


def test_without_raw_data_what_needs_none_is_tried(checked: Check, tmp_path: Path) -> None:
    source = SOURCE_OF_WRONG.replace('raw_folder = "toy"', 'raw_folder = "elsewhere"')
    wheel = make_wheel(tmp_path, "toy", "1.0.0", {"toy.py": source}, {"good": "toy:Good"})
    found = checked(wheel)
    (failed,) = [finding for finding in found if finding.verdict == "failed"]
    assert (failed.demand, failed.advice) == ("plan", "name some to try it on: --raw")
    assert [f.demand for f in found if f.verdict == "ok"][3:] == SHARDED[:6]


def test_raw_data_is_given(checked: Check, tmp_path: Path) -> None:
    source = SOURCE_OF_WRONG.replace('raw_folder = "toy"', 'raw_folder = "elsewhere"')
    wheel = make_wheel(tmp_path, "toy", "1.0.0", {"toy.py": source}, {"good": "toy:Good"})
    raw = write_items(tmp_path, ["a", "bad one", "b"], "mine").parent
    found = checked(wheel, raw=raw)
    assert unmet(found) == {}
    (records,) = [finding.says for finding in found if finding.demand == "records"]
    assert records.startswith("2 of 3 source items") and "bad one: the line says so" in records


def test_one_handler_of_a_package(checked: Check, tmp_path: Path) -> None:
    points = {"good": "toy:Good", "dying": "toy:Dying"}
    wheel = make_wheel(tmp_path, "toy", "1.0.0", {"toy.py": SOURCE_OF_WRONG}, points)
    assert unmet(checked(wheel, only=["good"])) == {}


def test_a_handler_that_it_does_not_have(checked: Check, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "toy", "1.0.0", {"toy.py": SOURCE_OF_WRONG}, {"good": "toy:Good"})
    with pytest.raises(NothingFound, match="no handler better; there are: good"):
        checked(wheel, only=["better"])


def test_a_config_that_it_refuses(checked: Check, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "toy", "1.0.0", {"toy.py": SOURCE_OF_WRONG}, {"good": "toy:Good"})
    found = checked(wheel, config={"repeat": 99})
    assert unmet(found) == {"config": "repeat: 99 is not allowed: an integer from 1 to 10"}
    assert [f.verdict for f in found if f.handler][4:] == ["not tried"] * 9


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_no_process_is_left(checked: Check, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "toy", "1.0.0", {"toy.py": SOURCE_OF_WRONG}, {"good": "toy:Good"})
    checked(wheel)
    mark = os.fsencode(tmp_path / "work")
    left = [
        file.parent.name
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if mark in _read(file) and file.parent.name != str(os.getpid())
    ]
    assert left == [], sys.executable


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
