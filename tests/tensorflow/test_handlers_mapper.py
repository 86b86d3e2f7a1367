"""What handlers write, read by TensorFlow and TensorFlow Datasets themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.coco import CocoHandler
from dataset_handlers.duts import DutsHandler
from dataset_handlers.imagenet_det import ImagenetDetHandler
from dataset_handlers.sdk import (
    BaseOptions,
    Feature,
    RecordHandler,
    Scalar,
    SourceItem,
    Tensor,
    Text,
)
from tests.unit.handlers.coco_raw import CocoRaw
from tests.unit.handlers.pictures import draw_pair, gradient, save
from tests.unit.handlers.reading import pixels_of, read_frames, read_records
from tests.unit.handlers.voc_raw import draw_marked, draw_object


def write(handler: RecordHandler, path: Path) -> str:
    handler.write_shard(list(handler.plan_items("key")), str(path), "key")
    return str(path)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    for number in range(5):
        draw_pair(tmp_path / "raw", f"pair{number}", 60 + number, 90)
    return str(tmp_path / "raw")


@pytest.fixture
def classes(tmp_path: Path) -> str:
    for name in ("ants/a.jpg", "ants/b.png", "bees/c.jpg"):
        save(tmp_path / "raw" / name, gradient(40, 60))
    return str(tmp_path / "raw")


def test_tensorflow_reads_the_same_records(pairs, tmp_path):
    path = write(DutsHandler({}, pairs), tmp_path / "shard")
    read = [record.numpy() for record in tf.data.TFRecordDataset([path])]  # checks the CRCs
    assert read == read_frames(path)
    for serialised, ours in zip(read, read_records(path), strict=True):
        theirs = tf.train.Example.FromString(serialised)
        assert set(theirs.features.feature) == set(ours)
        for name, feature in theirs.features.feature.items():
            assert list(feature.bytes_list.value) == ours[name]
        assert theirs.SerializeToString(deterministic=True) == serialised


def test_duts_batches(pairs, tmp_path):
    config = {"image_size": [48, 64], "batch_size": 2}
    path = write(DutsHandler(config, pairs), tmp_path / "shard")
    batches = list(DutsHandler(config, "not here").tf_records_mapper([path]))
    assert [len(inputs["image"]) for inputs, _ in batches] == [2, 2, 1]
    assert all(set(inputs) == {"image"} and set(targets) == {"mask"} for inputs, targets in batches)
    images = np.concatenate([inputs["image"] for inputs, _ in batches])
    masks = np.concatenate([targets["mask"] for _, targets in batches])
    assert (images.dtype, images.shape) == (np.uint8, (5, 48, 64, 3))
    assert (masks.dtype, masks.shape) == (np.uint8, (5, 48, 64, 1))
    for record, image, mask in zip(read_records(path), images, masks, strict=True):
        assert np.array_equal(image, pixels_of(record["image"][0]))
        assert np.array_equal(mask[..., 0], pixels_of(record["mask"][0]))


def test_inputs_and_targets_as_the_config_says(pairs, tmp_path):
    config = {"input_attributes": ["image", "mask"]}
    path = write(DutsHandler(config, pairs), tmp_path / "shard")
    inputs, targets = next(iter(DutsHandler(config, pairs).tf_records_mapper([path])))
    assert (set(inputs), set(targets)) == ({"image", "mask"}, set())


@pytest.mark.parametrize("image_is_input", [True, False])
def test_what_standardises_an_image_goes_with_it(pairs, tmp_path, image_is_input):
    names = ["image"] if image_is_input else ["mask"]
    config = {"standardize": "metadata", "input_attributes": names}
    path = write(DutsHandler(config, pairs), tmp_path / "shard")
    inputs, targets = next(iter(DutsHandler(config, pairs).tf_records_mapper([path])))
    with_image, without = (inputs, targets) if image_is_input else (targets, inputs)
    assert set(with_image) == {"image", "image_mean", "image_deviation"}
    assert set(without) == {"mask"}
    pixels = tf.cast(with_image["image"], tf.float32)
    # JPEG changes them a little.
    assert np.allclose(tf.reduce_mean(pixels, (1, 2, 3)), with_image["image_mean"], atol=1)


def test_applied_standardisation_is_tensorflows(tmp_path):
    save(tmp_path / "raw" / "ants" / "a.png", gradient(40, 60))
    config = {"image_size": [40, 60], "standardize": "applied"}
    handler = ClassificationHandler(config, str(tmp_path / "raw"))
    inputs, _ = next(iter(handler.tf_records_mapper([write(handler, tmp_path / "shard")])))
    expected = tf.image.per_image_standardization(gradient(40, 60))
    assert (inputs["image"].dtype, inputs["image"].shape) == (tf.float32, (1, 40, 60, 3))
    assert np.allclose(inputs["image"][0], expected, atol=1e-5)


def test_sizes_that_differ_make_ragged_batches(pairs, tmp_path):
    config = {"image_size": None, "batch_size": 5}
    path = write(DutsHandler(config, pairs), tmp_path / "shard")
    inputs, _ = next(iter(DutsHandler(config, pairs).tf_records_mapper([path])))
    assert isinstance(inputs["image"], tf.RaggedTensor)
    assert sorted(image.shape[0] for image in inputs["image"]) == [60, 61, 62, 63, 64]


@pytest.mark.parametrize("channels", [1, 3])
def test_classification_batches_without_the_raw_data(classes, tmp_path, channels):
    config = {"channels": channels, "image_size": [32, 32]}
    path = write(ClassificationHandler(config, classes), tmp_path / "shard")
    inputs, targets = next(iter(ClassificationHandler(config, "").tf_records_mapper([path])))
    assert inputs["image"].shape == (3, 32, 32, channels)
    assert (targets["label"].dtype, targets["one_hot"].dtype) == (tf.int64, tf.float32)
    labels = targets["label"].numpy()
    assert sorted(labels) == [0, 0, 1]
    assert np.array_equal(targets["one_hot"].numpy(), np.eye(2)[labels])


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_arrive(classes, tmp_path, channels):
    config = {"bit_depth": 16, "image_encoding": "png", "channels": channels}
    path = write(ClassificationHandler(config, classes), tmp_path / "shard")
    inputs, _ = next(iter(ClassificationHandler(config, "").tf_records_mapper([path])))
    assert (inputs["image"].dtype, inputs["image"].shape) == (tf.uint16, (3, 224, 224, channels))
    assert inputs["image"].numpy().max() % 257 == 0, "8 bits, spread"
    assert inputs["image"].numpy().max() > 30_000


def test_imagenet_det_batches_without_the_raw_data(tmp_path):
    raw = tmp_path / "raw"
    draw_object(raw, "one", "cat", (10, 20, 40, 50), (80, 100))
    draw_object(raw, "two", "dog", (0, 0, 80, 100), (80, 100))
    draw_marked(raw, "three", [])
    path = write(ImagenetDetHandler({}, str(raw)), tmp_path / "shard")
    inputs, targets = next(iter(ImagenetDetHandler({}, "").tf_records_mapper([path])))
    assert inputs["image"].shape == (3, 415, 482, 3)
    labels = targets["label"].numpy()
    assert sorted(labels) == [0, 1, 2]
    assert np.array_equal(targets["one_hot"].numpy(), np.eye(3)[labels])
    assert targets["box"].shape == (3, 4)
    # The picture is 482 pixels wide and 386 high, with bars above and below.
    top, left, bottom, right = targets["box"].numpy()[labels == 1][0]
    assert (left, right) == pytest.approx((0.2, 0.5), abs=1e-6)
    assert (top * 415, bottom * 415) == pytest.approx((14 + 386 / 8, 14 + 386 / 2), abs=1e-3)


def test_a_model_can_be_fitted(classes, tmp_path):
    config = {"image_size": [8, 8], "batch_size": 3}
    path = write(ClassificationHandler(config, classes), tmp_path / "shard")
    dataset = ClassificationHandler(config, "").tf_records_mapper([path])
    for inputs, targets in dataset:
        pixels = tf.cast(tf.reshape(inputs["image"], (3, -1)), tf.float32)
        assert tf.matmul(pixels, targets["one_hot"], transpose_a=True).shape == (192, 2)


class ManyKinds(RecordHandler):
    name = "kinds"
    layout = "nothing"

    class Options(BaseOptions):
        input_attributes: tuple[str, ...] = ("text",)

    def source_items(self) -> Iterator[SourceItem]:
        yield from (SourceItem(str(number), {}) for number in range(3))

    def features(self) -> dict[str, Feature]:
        return {
            "text": Text(),
            "count": Scalar(),
            "bools": Tensor((2,), "bool"),
            "bytes": Tensor((2, 2), "uint8"),
            "boxes": Tensor((None, 4), "float32"),
        }

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        number = int(item.key)
        return {
            "text": f"ä{number}",
            "count": number,
            "bools": [True, False],
            "bytes": [[0, 1], [2, 255]],
            "boxes": np.full((number, 4), 0.5),
        }


def test_every_kind_of_feature_comes_back(tmp_path):
    handler = ManyKinds({"batch_size": 3}, "")
    path = write(handler, tmp_path / "shard")
    inputs, targets = next(iter(handler.tf_records_mapper([path])))
    numbers = targets["count"].numpy()
    assert sorted(numbers) == [0, 1, 2]
    assert [text.decode() for text in inputs["text"].numpy()] == [f"ä{n}" for n in numbers]
    assert targets["bools"].numpy().tolist() == [[True, False]] * 3
    assert targets["bytes"].dtype == tf.uint8
    assert [boxes.shape for boxes in targets["boxes"]] == [(n, 4) for n in numbers]


@pytest.mark.parametrize("kind", ["duts", "classification", "kinds"])
def test_tensorflow_datasets_reads_the_folder(kind, request, tmp_path):
    if kind == "duts":
        handler = DutsHandler({"image_size": [48, 64]}, request.getfixturevalue("pairs"))
    elif kind == "classification":
        handler = ClassificationHandler({}, request.getfixturevalue("classes"))
    else:
        handler = ManyKinds({}, "")
    folder = tmp_path / "unpacked"
    folder.mkdir()
    path = write(handler, folder / f"{kind}-train.tfrecord-00000-of-00001")
    records = read_records(path)
    spec = handler.feature_spec()
    (folder / "features.json").write_text(json.dumps(spec["features"]))
    for name, labels in spec["labels"].items():
        (folder / f"{name}.labels.txt").write_text("".join(f"{label}\n" for label in labels))
    train = {
        "name": "train",
        "shardLengths": [str(len(records))],
        "numBytes": "1",
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    }
    info = {"name": kind, "version": "1.0.0", "fileFormat": "tfrecord", "splits": [train]}
    (folder / "dataset_info.json").write_text(json.dumps(info))

    builder = tfds.builder_from_directory(str(folder))
    read = list(tfds.as_numpy(builder.as_dataset(split="train")))

    assert len(read) == len(records)
    for theirs, ours in zip(read, records, strict=True):
        for name, value in theirs.items():
            if name in ("image", "mask"):
                # TensorFlow Datasets takes TensorFlow's fast inverse transform for JPEGs.
                assert np.array_equal(value, tf.io.decode_image(ours[name][0]))
            elif name == "text":
                assert value == ours[name][0]
            else:
                assert np.ravel(value).tolist() == ours[name]
    if kind == "classification":
        assert builder.info.features["label"].names == ["ants", "bees"]


def test_objects_of_a_picture(tmp_path):
    raw = CocoRaw(tmp_path / "raw")
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50))
    raw.object(image, 3, (0, 60, 20, 90))
    raw.picture("none.jpg")
    config = {"image_size": [40, 60], "without_objects": "keep"}
    handler = CocoHandler(config, str(raw.save()))
    path = str(tmp_path / "shard")
    handler.write_shard(list(handler.plan_items("key")), path, "key")
    # Where one trains there is no raw data.
    ((inputs, targets),) = CocoHandler(config, "/nowhere").tf_records_mapper([path])
    assert inputs["image"].shape == (2, 40, 60, 3)
    assert sorted(targets["masks"].row_lengths().numpy().tolist()) == [0, 2]
    assert targets["masks"].flat_values.shape == (2, 40, 60, 1)
    assert targets["boxes"].flat_values.shape == (2, 4)
    assert targets["classes"].flat_values.numpy().tolist() == [1, 0]
    assert targets["is_crowd"].flat_values.numpy().tolist() == [False, False]
    assert targets["is_crowd"].dtype == "bool"
