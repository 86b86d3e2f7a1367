"""A record is compared with what its handler announced."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from datamill.features import parse_features
from datamill_builder.handler_check.record import flaw
from dataset_handlers.sdk import (
    Box,
    ClassLabel,
    Feature,
    Image,
    Scalar,
    Sequence,
    Tensor,
    Text,
)
from dataset_handlers.sdk.example import encode_example
from dataset_handlers.sdk.features import features_json

ANNOUNCED: dict[str, Feature] = {
    "image": Image(4, None, 3, "jpeg"),
    "depth": Image(4, 6, 1, "png", "uint16"),
    "steps": Sequence(Image(None, None, 1, "png")),
    "label": ClassLabel(("ants", "bees")),
    "labels": Sequence(ClassLabel(("ants", "bees"))),
    "box": Box(),
    "points": Tensor((None, 2), "float32"),
    "count": Scalar(),
    "name": Text(),
}


def encoded(mode: str, kind: str = "PNG", size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Picture.new(mode, size).save(file, kind)
    return file.getvalue()


GOOD: dict[str, Any] = {
    "image": ("bytes_list", [encoded("RGB", "JPEG")]),
    "depth": ("bytes_list", [encoded("I;16")]),
    "steps": ("bytes_list", [encoded("L"), encoded("L")]),
    "label": ("int64_list", [1]),
    "labels": ("int64_list", [0, 1, 1]),
    "box": ("float_list", np.array([0, 0, 1, 1], np.float32)),
    "points": ("float_list", np.zeros(6, np.float32)),
    "count": ("int64_list", [5]),
    "name": ("bytes_list", [b"x"]),
}


def found(**changes: Any) -> str | None:
    record = {name: value for name, value in (GOOD | changes).items() if value is not None}
    features = parse_features(features_json(ANNOUNCED))
    return flaw(encode_example(record), features, {"label": ["ants", "bees"]})


def test_a_record_as_announced() -> None:
    assert found() is None
    assert found(steps=("bytes_list", []), points=("float_list", [])) is None, "may be empty"
    assert found(steps=None) is None, "TensorFlow writes nothing for an empty list"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image", None, "it lacks image"),
        ("extra", ("int64_list", [1]), "it holds extra, which the features don't announce"),
        ("image", ("bytes_list", [encoded("RGB")]), "image: a png, announced is jpeg"),
        ("image", ("bytes_list", [b"text"]), "image: no JPEG and no PNG"),
        ("image", ("bytes_list", [encoded("L", "JPEG")]), "[4, 6, 1], announced is [4, 'any', 3]"),
        ("image", ("bytes_list", [encoded("RGB", "JPEG", (6, 5))]), "image: an image of [5, 6, 3]"),
        ("image", ("int64_list", [1]), "image: 1 is no image"),
        ("image", ("bytes_list", []), "image: 0 values, announced is one"),
        ("depth", ("bytes_list", [encoded("L")]), "depth: an image with 8 bits"),
        ("steps", ("bytes_list", [encoded("L"), b""]), "steps: no JPEG and no PNG"),
        ("label", ("int64_list", [2]), "label: 2, announced are 2 classes"),
        ("label", ("bytes_list", [b"bees"]), "label: b'bees' is no integer"),
        ("box", ("float_list", [0.5]), "box: 1 values do not fill the shape [4]"),
        ("points", ("float_list", [0.5] * 3), "points: 3 values do not fill the shape ['any', 2]"),
        ("count", ("float_list", [5.0]), "count: a float, announced is int64"),
        ("name", ("int64_list", [5]), "name: 5 is no text"),
    ],
)
def test_what_is_wrong_is_told(name: str, value: Any, words: str) -> None:
    told = found(**{name: value})
    assert told is not None and words in told


def test_what_is_no_example() -> None:
    assert "no tf.train.Example" in str(flaw(b"\xff\xff", [], {}))
