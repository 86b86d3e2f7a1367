"""`as_tfrecord` without a builder."""

from pathlib import Path

import pytest

from dataset_handlers.sdk import HandlerError, TooManyBadItemsError
from tests.unit.handlers.reading import read_records
from tests.unit.handlers.sdk.dice import DiceHandler, dice_folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


class SmallShards(DiceHandler):
    records_per_shard = 8


def test_files_are_written_into_the_current_directory(tmp_path, here):
    handler = SmallShards(
        {"validation_share": 0.3, "variations_per_sample": 2}, dice_folder(tmp_path / "raw", 20)
    )
    paths = [Path(path) for path in handler.as_tfrecord()]
    assert sorted(paths) == sorted(here.iterdir())
    items = list(handler.plan_items("any"))
    validation = sum(item["split"] == "validation" for item in items)
    shards = -(-validation // 4)
    assert [p.name for p in paths if "validation" in p.name] == [
        f"dice-validation.tfrecord-{k:05d}-of-{shards:05d}" for k in range(shards)
    ]
    texts = [record["text"][0] for path in paths for record in read_records(path)]
    assert sorted(texts) == sorted(f"text {n}".encode() for n in range(20) for _ in range(2))


def test_twice_the_same_bytes(tmp_path, here):
    folder = dice_folder(tmp_path / "raw", 5)
    first = [Path(path).read_bytes() for path in DiceHandler({}, folder).as_tfrecord()]
    again = [Path(path).read_bytes() for path in DiceHandler({"seed": 0}, folder).as_tfrecord()]
    assert first == again
    other = [Path(path).read_bytes() for path in DiceHandler({"seed": 1}, folder).as_tfrecord()]
    assert first != other


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_never_into_the_raw_data(tmp_path, monkeypatch, inside):
    folder = tmp_path / "raw"
    handler = DiceHandler({}, dice_folder(folder, 2))
    (folder / inside).mkdir(exist_ok=True)
    monkeypatch.chdir(folder / inside)
    before = sorted(folder.rglob("*"))
    with pytest.raises(HandlerError, match="the current directory is in the raw data"):
        handler.as_tfrecord()
    assert sorted(folder.rglob("*")) == before


def test_too_many_bad_items(tmp_path):
    folder = dice_folder(tmp_path / "raw", 8, broken="bad")
    with pytest.raises(TooManyBadItemsError, match=r"1 of 9 items are bad.*: broken\.txt: it says"):
        DiceHandler({}, folder).as_tfrecord()
    assert DiceHandler({"max_bad_share": 0.2}, folder).as_tfrecord()


def test_nothing_half_written_stays(tmp_path, here):
    handler = DiceHandler({"on_bad_item": "fail"}, dice_folder(tmp_path / "raw", 8, broken="bad"))
    with pytest.raises(HandlerError):
        handler.as_tfrecord()
    assert list(here.iterdir()) == []
