"""The runner's commands, over the protocol: open, features, plan, shard, classic."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from datamill.events import Reason
from datamill_builder.handlers.process import RUNNER, HandlerFailed, HandlerProcess
from tests.processes.builder_handlers.conftest import Start, open_handler


def test_a_sharded_handler_opens(start: Start, raw_root: Path) -> None:
    said = open_handler(start(), raw_root, size=3)
    assert said == {
        "mode": "sharded",
        "config": {"filled": True, "size": 3},
        "records_per_shard": 4,
        "raw": "trouble",
    }


def test_a_classic_handler_opens_with_its_defaults(start: Start, raw_root: Path) -> None:
    said = open_handler(start(), raw_root, "Classic", size=9)
    assert said["mode"] == "classic"
    assert said["config"] == {
        "size": 9,
        "share": 0.5,
        "name": "x",
        "flip": False,
        "free": None,
    }


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"sizes": 1}, "sizes (= 1) is not an option of this handler; did you mean size? it knows"),
        ({"qqq": None}, "qqq (= null) is not an option of this handler; it knows: flip, free"),
        ({"size": "8"}, 'size: "8" is not allowed, its default 8 is of type int'),
        ({"size": True}, "size: true is not allowed"),
        ({"flip": 1}, "flip: 1 is not allowed, its default false is of type bool"),
        ({"name": ["x"]}, 'name: ["x"] is not allowed'),
        ({"size": 13}, "ValueError: size: 13 brings bad luck"),
    ],
)
def test_a_bad_config_is_refused_in_one_line(
    start: Start, raw_root: Path, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(HandlerFailed) as error:
        open_handler(start(), raw_root, "Classic", **config)
    assert error.value.reason is Reason.INVALID_CONFIG
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("config", [{"size": 9.0}, {"share": 1}, {"free": [1]}, {"name": None}])
def test_what_may_be_meant_is_taken(start: Start, raw_root: Path, config: dict[str, Any]) -> None:
    said = open_handler(start(), raw_root, "Classic", **config)
    assert said["config"].items() >= config.items()


def test_a_classic_handler_is_described_by_its_defaults(start: Start) -> None:
    told = start().call("describe", entry_point="trouble:Classic")
    assert (told["mode"], told["layout"], told["raw"]) == ("classic", None, None)
    assert [(each["name"], each["type"], each["default"]) for each in told["options"]] == [
        ("size", "number", 8),
        ("share", "number", 0.5),
        ("name", "text", "x"),
        ("flip", "true or false", False),
        ("free", "anything", None),
    ]


def test_what_is_no_handler_is_not_described(start: Start) -> None:
    with pytest.raises(HandlerFailed, match="is no handler: it lacks config_options"):
        start().call("describe", entry_point="trouble:NoHandler")


def test_missing_raw_data_is_said_with_what_there_is(start: Start, tmp_path: Path) -> None:
    (tmp_path / "other" / "duts").mkdir(parents=True)
    with pytest.raises(
        HandlerFailed, match=r"no folder trouble in the raw root; there are: duts$"
    ) as error:
        open_handler(start(), tmp_path / "other")
    assert error.value.reason is Reason.UNKNOWN_DATASET
    with pytest.raises(HandlerFailed, match=r"there are: none$"):
        open_handler(start(), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("NoHandler", "is no handler: it lacks config_options"), ("Nobody", "Nobody")],
)
def test_what_is_no_handler_is_refused(start: Start, raw_root: Path, kind: str, words: str) -> None:
    with pytest.raises(HandlerFailed, match=words) as error:
        open_handler(start(), raw_root, kind)
    assert error.value.reason is Reason.HANDLER_ERROR


def test_a_plan_is_a_line_per_item_and_split(opened: HandlerProcess, tmp_path: Path) -> None:
    counts = opened.call("plan", content_key="k", folder=str(tmp_path))
    assert counts == {
        "validation": {"items": 3, "records": 6},
        "train": {"items": 2, "records": 4},
    }
    lines = (tmp_path / "train.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["caf\udce9 1", "caf\udce9 3"]


def test_the_name_of_a_split_is_no_path(start: Start, raw_root: Path, tmp_path: Path) -> None:
    process = start()
    open_handler(process, raw_root, bad_split=True)
    (tmp_path / "plan").mkdir()
    with pytest.raises(HandlerFailed, match=r"'\.\./evil' is no name for a split"):
        process.call("plan", content_key="k", folder=str(tmp_path / "plan"))
    assert not (tmp_path / "evil.jsonl").exists()


def test_a_handler_need_not_say_its_features(opened: HandlerProcess) -> None:
    assert opened.call("features") is None


def test_the_files_of_a_classic_handler_have_whole_paths(start: Start, raw_root: Path) -> None:
    process = start()
    open_handler(process, raw_root, "Classic")
    (path,) = process.call("classic")
    assert Path(path).is_absolute() and Path(path).name == "out.tfrecord"
    assert Path(path).read_bytes() == b"records"


def test_a_classic_handler_that_writes_nothing_is_refused(start: Start, raw_root: Path) -> None:
    process = start()
    open_handler(process, raw_root, "Classic", name="nothing")
    with pytest.raises(HandlerFailed, match="returned no list of paths"):
        process.call("classic")


def test_an_unknown_command_is_an_error_not_an_end(opened: HandlerProcess) -> None:
    with pytest.raises(HandlerFailed, match="AttributeError"):
        opened.call("dance")
    assert opened.call("features") is None


def test_the_runner_needs_the_standard_library_alone(handler_python: Path) -> None:
    done = subprocess.run(
        [handler_python, "-I", RUNNER], input=b"", capture_output=True, timeout=20, check=True
    )
    assert json.loads(done.stdout) == {"ok": {"protocol": 1}}
    assert done.stderr == b""
