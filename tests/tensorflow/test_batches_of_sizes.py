"""Batches of records whose features differ in size: real handlers, all four ways of reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import datamill
from dataset_handlers.coco import CocoHandler
from dataset_handlers.duts import DutsHandler
from dataset_handlers.sdk import RecordHandler
from tests.support.archives import PackedArchive, pack
from tests.tensorflow.every_feature import every_feature
from tests.tensorflow.playing import environment, play, ready, server
from tests.unit.handlers.coco_raw import CocoRaw
from tests.unit.handlers.pictures import draw_pair
from tests.unit.handlers.reading import read_frames

__all__ = ["environment", "play", "ready", "server"]

Ready = Callable[[PackedArchive], datamill.Dataset]

OBJECTS = (2, 0, 1, 3, 1)
"""How many there are in each picture: of the records in pairs, the last two differ too."""
PLACES = [(5, 10, 25, 30), (30, 40, 50, 85), (2, 60, 20, 80)]


@pytest.fixture
def objects(ready: Ready, tmp_path: Path) -> Callable[..., datamill.Dataset]:
    """A dataset of boxes, classes and masks."""

    def build(**config: Any) -> datamill.Dataset:
        raw = CocoRaw(tmp_path / "raw")
        for number, count in enumerate(OBJECTS):
            picture = raw.picture(f"{number}.jpg", (60 + number, 90))
            for place in PLACES[:count]:
                raw.object(picture, 7, place)
        handler = CocoHandler({"without_objects": "keep", **config}, str(raw.save()))
        return ready(packed(handler, tmp_path))

    return build


def packed(handler: RecordHandler, folder: Path) -> PackedArchive:
    path = folder / "shard"
    handler.write_shard(list(handler.plan_items("key")), str(path), "key")
    return pack({"train": [read_frames(path)]}, features=handler.feature_spec()["features"])


def tensorflow_ways(dataset: datamill.Dataset) -> list[list[dict[str, Any]]]:
    return [
        list(dataset.as_dataset(batch_size=2)),
        list(dataset.as_dataset(batch_size=2, cache=True)),
        list(dataset.tf_reader(batch_size=2)),
    ]


def numpy_ways(dataset: datamill.Dataset) -> list[list[dict[str, Any]]]:
    return [
        list(dataset.as_numpy(batch_size=2)),
        list(dataset.as_numpy(batch_size=2, cache=True)),
        list(dataset.reader(batch_size=2)),
    ]


def assert_same_values(batches: list[dict[str, Any]], records: list[dict[str, Any]]) -> None:
    """Each value of each batch is what the record has that was read alone."""
    assert [len(batch["image"]) for batch in map(unragged, batches)] == [2, 2, 1]
    for name in records[0]:
        values = [value for batch in map(unragged, batches) for value in batch[name]]
        assert len(values) == len(records)
        for value, record in zip(values, records, strict=True):
            assert np.array_equal(value, record[name]), name
            assert np.asarray(value).dtype == np.asarray(record[name]).dtype, name


def unragged(batch: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        name: [
            np.asarray(one.to_tensor() if isinstance(one, tf.RaggedTensor) else one)
            for one in values
        ]
        for name, values in batch.items()
    }


DIFFERING = {"boxes", "classes", "is_crowd", "masks"}


def test_boxes_and_masks_are_ragged_and_images_dense(objects: Any) -> None:
    dataset = objects(image_size=[24, 36])
    records = list(dataset.as_numpy())
    assert sorted(len(record["boxes"]) for record in records) == sorted(OBJECTS)
    spec = dataset.as_dataset(batch_size=2).element_spec
    assert spec["image"] == tf.TensorSpec((None, 24, 36, 3), tf.uint8)
    assert spec["image_id"] == tf.TensorSpec((None,), tf.int64)
    assert spec["boxes"] == tf.RaggedTensorSpec((None, None, 4), tf.float32, ragged_rank=1)
    masks = (None, None, 24, 36, 1)
    assert spec["masks"] == tf.RaggedTensorSpec(masks, tf.uint8, ragged_rank=1)
    for batches in tensorflow_ways(dataset):
        assert_same_values(batches, records)
        for batch in batches:
            ragged = {name for name in batch if isinstance(batch[name], tf.RaggedTensor)}
            assert ragged == DIFFERING


def test_boxes_and_masks_are_lists_of_arrays(objects: Any) -> None:
    """Also in the last batch, of one record, whose size no other's differs from."""
    dataset = objects(image_size=[24, 36])
    records = list(dataset.as_numpy())
    for batches in numpy_ways(dataset):
        assert_same_values(batches, records)
        for batch in batches:
            assert {name for name in batch if isinstance(batch[name], list)} == DIFFERING
        assert [batch["image"].shape[1:] for batch in batches] == [(24, 36, 3)] * 3


def test_boxes_and_masks_of_images_of_several_sizes(objects: Any) -> None:
    dataset = objects(image_size=None)
    records = list(dataset.as_numpy())
    assert len({record["image"].shape for record in records}) == len(OBJECTS)
    for batches in numpy_ways(dataset):
        assert_same_values(batches, records)
    for batches in tensorflow_ways(dataset):
        for values, record in zip(
            [one for batch in batches for one in batch["masks"]], records, strict=True
        ):
            assert np.array_equal(values.to_tensor().numpy().reshape(-1), record["masks"].ravel())


def test_images_of_several_sizes(ready: Ready, tmp_path: Path) -> None:
    for number in range(5):
        draw_pair(tmp_path / "raw", f"pair{number}", 60 + number, 90 - number)
    handler = DutsHandler({"image_size": None}, str(tmp_path / "raw"))
    dataset = ready(packed(handler, tmp_path))
    records = list(dataset.as_numpy())
    spec = dataset.as_dataset(batch_size=2).element_spec
    assert spec["image"] == tf.RaggedTensorSpec((None, None, None, 3), tf.uint8, ragged_rank=2)
    for batches in [*tensorflow_ways(dataset), *numpy_ways(dataset)]:
        assert_same_values(batches, records)


def test_images_of_one_size_are_batched_as_ever(ready: Ready, tmp_path: Path) -> None:
    for number in range(5):
        draw_pair(tmp_path / "raw", f"pair{number}", 60 + number, 90)
    handler = DutsHandler({"image_size": [24, 36]}, str(tmp_path / "raw"))
    dataset = ready(packed(handler, tmp_path))
    alone = dataset.as_dataset()
    assert dataset.as_dataset(batch_size=2).element_spec == alone.batch(2).element_spec
    for batches in numpy_ways(dataset):
        assert [batch["mask"].shape for batch in batches] == [(2, 24, 36, 1)] * 2 + [(1, 24, 36, 1)]


def test_a_list_may_be_changed_while_the_records_are_kept(objects: Any) -> None:
    dataset = objects(image_size=[24, 36])
    boxes = []
    for batch in dataset.as_numpy(batch_size=len(OBJECTS), cache=True, repeat=2):
        boxes.append([one.copy() for one in batch["boxes"]])
        for one in batch["boxes"]:
            one[:] = -1
    assert all(map(np.array_equal, *boxes))


def test_nested_features_and_every_kind(ready: Ready, tmp_path: Path) -> None:
    record, features = every_feature(tmp_path)
    dataset = ready(pack({"train": [[record] * 2]}, features=features.to_json()))
    batch = next(dataset.as_numpy(batch_size=2))
    theirs = next(iter(dataset.as_dataset(batch_size=2)))
    for ours, tensors in ((batch, theirs), (batch["objects"], theirs["objects"])):
        for name, value in ours.items():
            if not isinstance(value, dict):
                assert isinstance(value, list) == isinstance(tensors[name], tf.RaggedTensor), name
    assert isinstance(batch["objects"]["box"], list)
    assert batch["inner"]["deep"].tolist() == [2**40] * 2
    assert batch["pair"].shape == (2, 2)
    assert [one.shape for one in batch["points"]] == [(3, 2)] * 2
