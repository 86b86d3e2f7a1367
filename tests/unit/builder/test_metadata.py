"""TensorFlow Datasets' metadata. That TFDS reads it is tested with TFDS; here, what it says."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from datamill_builder.metadata import as_json, dataset_info, three_part_version


@pytest.mark.parametrize(
    ("version", "three"),
    [
        ("1.0.0", "1.0.0"),
        ("2.1.0rc1", "2.1.0"),
        ("3", "3.0.0"),
        ("3.1", "3.1.0"),
        ("1.2.3.4", "1.2.3"),
        ("1.2.post1", "1.2.0"),
        ("v1", "0.0.0"),
    ],
)
def test_versions_have_three_parts(version: str, three: str) -> None:
    assert three_part_version(version) == three


def test_splits_are_summed_in_the_order_of_their_shards() -> None:
    shards = [
        SimpleNamespace(split="train", records=4, bytes=100),
        SimpleNamespace(split="train", records=3, bytes=80),
        SimpleNamespace(split="validation", records=1, bytes=20),
    ]
    said = json.loads(dataset_info("toy", "1.0", shards))
    assert (said["name"], said["version"], said["fileFormat"]) == ("toy", "1.0.0", "tfrecord")
    assert [(s["name"], s["shardLengths"], s["numBytes"]) for s in said["splits"]] == [
        ("train", ["4", "3"], "180"),
        ("validation", ["1"], "20"),
    ]


def test_equal_documents_are_equal_bytes() -> None:
    assert as_json({"b": 1, "a": "\N{CAT FACE}"}) == as_json({"a": "\N{CAT FACE}", "b": 1})
    assert as_json({"a": "\N{CAT FACE}"}).decode() == '{\n  "a": "\N{CAT FACE}"\n}\n'
