"""An unpacked archive is a dataset of TensorFlow Datasets: read back by it, record by record."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import uv

import datamill
from tests.conftest import REPOSITORY
from tests.support.photographs import CLASSES, write_classes, write_pairs
from tests.tensorflow.conftest import Service

PRERELEASE = "2.1.0rc1"


@pytest.fixture(scope="module")
def raw(service: Service) -> dict[str, int]:
    """How many source items each handler has."""
    return {
        "classification": write_classes(service.raw / "classification", copies=5),
        "duts": write_pairs(service.raw / "duts"),
    }


@pytest.fixture(scope="module")
def prerelease(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A release of the shipped handlers whose version has more than three numbers in it."""
    source = tmp_path_factory.mktemp("handlers") / "handlers"
    shutil.copytree(REPOSITORY / "handlers", source, ignore=shutil.ignore_patterns("dist"))
    project = source / "pyproject.toml"
    text, count = re.subn('(?m)^version = ".*"$', f'version = "{PRERELEASE}"', project.read_text())
    assert count == 1
    project.write_text(text)
    build = [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--no-build-isolation"]
    build += ["--python", sys.executable, "--out-dir", str(service.wheels), str(source)]
    subprocess.run(build, check=True)
    return PRERELEASE


def by_tfds(folder: Path, split: str) -> list[dict[str, Any]]:
    """Read records by TFDS alone, but for JPEG: it leaves the inverse transform to the system,
    which differs by some levels from the exact one.
    """
    builder = tfds.builder_from_directory(folder)
    accurate = {"image": _accurate_jpeg()}
    found = builder.as_dataset(split=split, shuffle_files=False, decoders=accurate)
    return list(tfds.as_numpy(found))


def _accurate_jpeg() -> Any:
    @tfds.decode.make_decoder(output_dtype=tf.uint8)
    def decode(encoded: Any, feature: Any) -> Any:
        channels = feature.shape[-1]
        return tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")

    return decode()


def by_client(dataset: datamill.Dataset, split: str) -> list[dict[str, Any]]:
    return list(dataset.as_dataset(split).as_numpy_iterator())


def assert_same_records(dataset: datamill.Dataset, split: str) -> None:
    """Both read the same records, pixel by pixel."""
    theirs, ours = by_tfds(dataset.folder, split), by_client(dataset, split)
    assert len(theirs) == len(ours) > 0
    for their, our in zip(theirs, ours, strict=True):
        assert their.keys() == our.keys()
        for name in their:
            expected = np.asarray(their[name])
            assert expected.dtype == our[name].dtype
            np.testing.assert_array_equal(our[name], expected, err_msg=name)


@pytest.mark.parametrize("name", ["classification", "ants-and-bees"])
def test_classification(service: Service, raw: dict[str, int], prerelease: str, name: str) -> None:
    config = {"image_size": [48, 64], "variations_per_sample": 2, "validation_share": 0.3}
    dataset = datamill.request_dataset(name, prerelease, config)
    folder = dataset.wait(timeout=120)

    builder = tfds.builder_from_directory(folder)
    assert builder.info.features["label"].names == sorted(CLASSES)
    assert builder.info.features["image"].shape == (48, 64, 3)
    assert builder.info.features["one_hot"].shape == (2,)
    assert str(builder.version) == "2.1.0"
    counts = {split: info.num_examples for split, info in builder.info.splits.items()}
    assert counts.keys() == {"train", "validation"}
    assert sum(counts.values()) == 2 * raw["classification"] == dataset.manifest.records
    for split in counts:
        assert_same_records(dataset, split)
        assert counts[split] == len(by_client(dataset, split))
    for record in by_tfds(folder, "train"):
        assert record["one_hot"].argmax() == record["label"]


def test_duts(service: Service, raw: dict[str, int]) -> None:
    dataset = datamill.request_dataset(
        "duts", "1.0.0", {"image_size": [40, 56], "crop_size": [32, 32]}
    )
    folder = dataset.wait(timeout=120)

    features = tfds.builder_from_directory(folder).info.features
    assert features["image"].shape == (32, 32, 3) and features["mask"].shape == (32, 32, 1)
    assert features["image"].np_dtype == features["mask"].np_dtype == np.uint8
    assert_same_records(dataset, "train")
    masks = [record["mask"] for record in by_tfds(folder, "train")]
    assert len(masks) == raw["duts"]
    assert all(set(np.unique(mask)) <= {0, 255} and mask.any() for mask in masks)


def test_images_of_their_own_sizes(service: Service, raw: dict[str, int]) -> None:
    dataset = datamill.request_dataset("duts", "1.0.0", {"image_size": None})
    folder = dataset.wait(timeout=120)
    assert tfds.builder_from_directory(folder).info.features["image"].shape == (None, None, 3)
    assert_same_records(dataset, "train")
    assert len({record["image"].shape for record in by_client(dataset, "train")}) > 1
