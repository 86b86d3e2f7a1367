"""Shard protocol 1, as the builder sees it, on a handler without images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_handlers.sdk import (
    BadItemError,
    ConfigError,
    HandlerError,
    NoSourceItemsError,
    SourceReadError,
)
from tests.unit.handlers.reading import read_frames, read_records
from tests.unit.handlers.sdk.dice import DiceHandler, dice_folder


def plan(handler: DiceHandler, content_key: str = "key") -> list[dict]:
    # Items travel as JSON.
    return json.loads(json.dumps(list(handler.plan_items(content_key))))


def test_a_plan_item(tmp_path):
    handler = DiceHandler({"variations_per_sample": 3}, dice_folder(tmp_path, one="hello"))
    assert plan(handler) == [
        {
            "key": "one.txt",
            "split": "train",
            "records": 3,
            "files": {"text": "one.txt"},
            "meta": {"length": 7},
        }
    ]


def test_max_items_is_a_prefix(tmp_path):
    folder = dice_folder(tmp_path, count=30)
    everything = plan(DiceHandler({}, folder))
    assert plan(DiceHandler({"max_items": 7}, folder)) == everything[:7]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"max_items": 7, "variations_per_sample": 3},
        {"validation_share": 0.3},
        {"validation_share": 0.9, "max_items": 3},
    ],
)
def test_a_plan_that_is_written_is_the_one_that_is_yielded(tmp_path, config):
    handler = DiceHandler(config, dice_folder(tmp_path, count=30))
    folder = tmp_path / "plan"
    folder.mkdir()
    counts = handler.write_plan("key", str(folder))
    written = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in folder.iterdir()
    }
    for split in {item["split"] for item in plan(handler)} | written.keys():
        items = [item for item in plan(handler) if item["split"] == split]
        assert written[split] == items
        records = sum(item["records"] for item in items)
        assert counts.pop(split) == {"items": len(items), "records": records}
    assert not counts


def test_an_item_stays_in_its_split(tmp_path):
    folder = dice_folder(tmp_path, count=40)
    splits = [
        {item["key"]: item["split"] for item in plan(DiceHandler(config, folder), content_key)}
        for config, content_key in (
            ({"validation_share": 0.3}, "one"),
            ({"validation_share": 0.3, "batch_size": 5, "variations_per_sample": 2}, "two"),
        )
    ]
    assert splits[0] == splits[1]
    assert set(splits[0].values()) == {"train", "validation"}


class LongOnesHandler(DiceHandler):
    def split_of_items(self):
        return lambda item: "validation" if item.meta["length"] > 7 else "train"


def test_a_handler_may_know_the_splits_of_its_raw_data(tmp_path):
    handler = LongOnesHandler({}, dice_folder(tmp_path / "raw", one="x", three="y", five="z"))
    splits = {item["key"]: item["split"] for item in handler.plan_items("key")}
    assert splits == {"one.txt": "train", "three.txt": "validation", "five.txt": "validation"}
    assert handler.write_plan("key", str(tmp_path)) == {
        "train": {"items": 1, "records": 1},
        "validation": {"items": 2, "records": 2},
    }
    lines = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert {json.loads(line)["key"] for line in lines} == {"three.txt", "five.txt"}


def test_what_write_shard_says_is_true(tmp_path):
    handler = DiceHandler({"variations_per_sample": 2}, dice_folder(tmp_path, count=3))
    path, seen = tmp_path / "shard", []
    said = handler.write_shard(plan(handler), str(path), "key", seen.append)
    data = path.read_bytes()
    assert said == {"records": 6, "bytes": len(data), "skipped": []}
    assert seen == [1, 2, 3, 4, 5, 6]


def test_records_come_in_the_order_of_items_and_variations(tmp_path):
    handler = DiceHandler({"variations_per_sample": 3}, dice_folder(tmp_path, count=4))
    items = plan(handler)
    handler.write_shard(items, str(tmp_path / "shard"), "key")
    records = read_records(tmp_path / "shard")
    texts = [f"text {int(item['key'][1:4])}".encode() for item in items for _ in range(3)]
    assert [record["text"][0] for record in records] == texts
    assert [len(record["floats"]) for record in records] == [0, 1, 2] * 4


def test_an_item_has_the_same_bytes_in_whatever_shard(tmp_path):
    folder = dice_folder(tmp_path / "raw", count=10)
    config = {"variations_per_sample": 2}
    items = plan(DiceHandler(config, folder))
    DiceHandler(config, folder).write_shard(items, str(tmp_path / "whole"), "key")
    handler = DiceHandler(config, folder)
    for number in (3, 0, 2, 1, 4):
        part = items[number * 2 : number * 2 + 2]
        handler.write_shard(part, str(tmp_path / f"part{number}"), "key")
    parts = b"".join((tmp_path / f"part{number}").read_bytes() for number in range(5))
    assert parts == (tmp_path / "whole").read_bytes()
    DiceHandler(config, folder).write_shard(items, str(tmp_path / "other"), "other key")
    assert (tmp_path / "other").read_bytes() != parts


def test_another_process_writes_the_same_bytes(tmp_path):
    folder = dice_folder(tmp_path / "raw", count=5)
    handler = DiceHandler({}, folder)
    handler.write_shard(plan(handler), str(tmp_path / "here"), "key")
    program = (
        "import sys\n"
        "from tests.unit.handlers.sdk.dice import DiceHandler\n"
        "handler = DiceHandler({}, sys.argv[1])\n"
        "items = list(handler.plan_items('key'))\n"
        "handler.write_shard(items, sys.argv[2], 'key')"
    )
    subprocess.run(
        [sys.executable, "-c", program, folder, str(tmp_path / "there")],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        cwd=Path(__file__).parents[4],
        check=True,
    )
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()


def test_bad_items_are_skipped_with_one_line(tmp_path):
    folder = dice_folder(tmp_path / "raw", good="fine", broken="bad")
    handler = DiceHandler({}, folder)
    said = handler.write_shard(plan(handler), str(tmp_path / "shard"), "key")
    assert said["skipped"] == [{"key": "broken.txt", "reason": "it says so itself"}]
    assert said["records"] == 1
    assert [r["text"] for r in read_records(tmp_path / "shard")] == [[b"fine"]]


def test_a_bad_item_leaves_none_of_its_records(tmp_path):
    folder = dice_folder(tmp_path / "raw", a="fine", b="bad later", c="fine too")
    config = {"variations_per_sample": 4}
    handler = DiceHandler(config, folder)
    items = plan(handler)
    said = handler.write_shard(items, str(tmp_path / "shard"), "key")
    good = [item for item in items if item["key"] != "b.txt"]
    DiceHandler(config, folder).write_shard(good, str(tmp_path / "good"), "key")
    assert (tmp_path / "shard").read_bytes() == (tmp_path / "good").read_bytes()
    assert said["bytes"] == (tmp_path / "good").stat().st_size
    assert (said["records"], len(said["skipped"])) == (8, 1)


def test_or_they_end_the_build(tmp_path):
    handler = DiceHandler({"on_bad_item": "fail"}, dice_folder(tmp_path / "raw", broken="bad"))
    with pytest.raises(BadItemError, match=r"^broken\.txt: it says so itself$") as caught:
        handler.write_shard(plan(handler), str(tmp_path / "shard"), "key")
    assert caught.value.datamill_reason == "bad_data"


def test_a_file_that_is_gone_is_no_bad_item(tmp_path):
    handler = DiceHandler({}, dice_folder(tmp_path / "raw", one="fine"))
    items = plan(handler)
    (tmp_path / "raw" / "one.txt").unlink()
    with pytest.raises(SourceReadError, match=r"^one\.txt can't be read: No such file") as caught:
        handler.write_shard(items, str(tmp_path / "shard"), "key")
    assert caught.value.datamill_reason == "handler_error"


@pytest.mark.parametrize(
    ("make", "what"), [(True, "holds nothing that is read"), (False, "is missing")]
)
def test_no_source_items(tmp_path, make, what):
    folder = tmp_path / "raw"
    if make:
        folder.mkdir()
    with pytest.raises(NoSourceItemsError) as caught:
        list(DiceHandler({}, str(folder)).plan_items("key"))
    assert str(caught.value) == f"the raw folder {folder} {what}: dice reads *.txt"
    assert caught.value.datamill_reason == "bad_data"


def test_several_records_at_once(tmp_path):
    class TwiceHandler(DiceHandler):
        def records(self, item, variation, rng):
            yield super().records(item, variation, rng)
            yield super().records(item, variation, rng)

    handler = TwiceHandler({}, dice_folder(tmp_path / "raw", count=3))
    handler.write_shard(plan(handler), str(tmp_path / "shard"), "key")
    assert len(read_frames(tmp_path / "shard")) == 6


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "a"}, "a record holds"),
        ({"text": "a", "dice": 1.5, "floats": []}, "feature dice of a record: expected int64"),
    ],
)
def test_records_that_are_not_as_announced(tmp_path, record, message):
    class WrongHandler(DiceHandler):
        def records(self, item, variation, rng):
            return record

    handler = WrongHandler({}, dice_folder(tmp_path / "raw", count=1))
    with pytest.raises(HandlerError, match=message):
        handler.write_shard(plan(handler), str(tmp_path / "shard"), "key")


def test_inputs_have_to_be_features(tmp_path):
    handler = DiceHandler({"input_attributes": ["dise"]}, dice_folder(tmp_path, count=1))
    for call in (handler.feature_spec, lambda: plan(handler)):
        with pytest.raises(
            ConfigError, match=r'input_attributes: "dise" is not allowed: .* dice, '
        ):
            call()


def test_the_feature_spec_is_json(tmp_path):
    spec = DiceHandler({}, str(tmp_path)).feature_spec()
    assert json.loads(json.dumps(spec)) == spec
    assert set(spec["features"]["featuresDict"]["features"]) == {"text", "dice", "floats"}
    assert spec["labels"] == {}


def test_what_the_builder_looks_at():
    assert (DiceHandler.shard_protocol, DiceHandler.raw_folder) == (1, None)
    assert DiceHandler.records_per_shard > 0
    assert DiceHandler.config_options()["max_bad_share"] == 0.01
    assert DiceHandler({"seed": 3.0}, ".").resolved_config()["seed"] == 3
    with pytest.raises(ConfigError, match=r"sed is not an option of dice 2\.0\.0"):
        DiceHandler({"sed": 3}, ".")


def test_a_file_that_is_larger_than_it_may_be_is_a_bad_item(tmp_path):
    handler = DiceHandler({}, dice_folder(tmp_path, one="hello"))
    assert handler.read_source("one.txt", max_bytes=5) == b"hello"
    with pytest.raises(BadItemError, match=r"^it is larger than 4 bytes$"):
        handler.read_source("one.txt", max_bytes=4)
    with pytest.raises(SourceReadError, match=r"^two\.txt can't be read"):
        handler.read_source("two.txt", max_bytes=4)


def test_who_writes_may_take_the_features_from_the_plan(tmp_path):
    class Planned(DiceHandler):
        """As where `features()` takes long."""

        def features(self):
            pytest.fail("it was asked by who writes")

        def features_for(self, items):
            assert [item["key"] for item in items] == ["one.txt"]
            return DiceHandler.features(self)

    folder = dice_folder(tmp_path / "raw", one="hello")
    items = plan(DiceHandler({}, folder))
    written = []
    for handler in (DiceHandler, Planned):
        handler({}, folder).write_shard(iter(items), str(tmp_path / "shard"), "key")
        written.append((tmp_path / "shard").read_bytes())
    assert written[0] == written[1]
