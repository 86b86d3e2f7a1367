"""A record that holds every kind of feature that can be decoded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

BOX = tfds.features.BBox(0.25, 0.0, 0.5, 1.0)
PIXELS = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)


def every_feature(folder: Path) -> tuple[bytes, Any]:
    """Return a serialised record and its features; files that it is made of go to `folder`."""
    f = tfds.features
    features = f.FeaturesDict(
        {
            "image": f.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "mask": f.Image(shape=(None, None, 1), encoding_format="png"),
            "label": f.ClassLabel(names=["ants", "bees"]),
            "one_hot": f.Tensor(shape=(2,), dtype=np.float32),
            "small": f.Tensor(shape=(2, 2), dtype=np.uint8),
            "points": f.Tensor(shape=(None, 2), dtype=np.float32),
            "flag": f.Scalar(np.bool_),
            "count": f.Scalar(np.int32),
            "words": f.Tensor(shape=(2,), dtype=np.str_),
            "text": f.Text(),
            "inner": {"deep": f.Scalar(np.int64)},
            "depth": f.Image(shape=(8, 6, 1), dtype=np.uint16, encoding_format="png"),
            "box": f.BBoxFeature(),
            "boxes": f.Sequence(f.BBoxFeature()),
            "classes": f.Sequence(f.ClassLabel(num_classes=3)),
            "masks": f.Sequence(f.Image(shape=(8, 6, 1), encoding_format="png")),
            "no_masks": f.Sequence(f.Image(shape=(8, 6, 1), encoding_format="png")),
            "objects": f.Sequence({"box": f.BBoxFeature(), "crowd": np.bool_}),
            "pair": f.Sequence(f.Scalar(np.float32), length=2),
        }
    )
    value = {
        "image": _write(folder / "i.jpg", _jpeg(PIXELS)),
        "mask": _write(folder / "m.png", _png(PIXELS[:, :, 0])),
        "label": "bees",
        "one_hot": np.array([0, 1], np.float32),
        "small": np.array([[1, 2], [3, 255]], np.uint8),
        "points": np.array([[1, 2], [3, 4], [5, 6]], np.float32),
        "flag": True,
        "count": -7,
        "words": ["a", "b"],
        "text": "Bär",
        "inner": {"deep": 2**40},
        "depth": PIXELS[:, :, :1].astype(np.uint16) * 300,
        "box": BOX,
        "boxes": [BOX, tfds.features.BBox(0.0, 0.0, 1.0, 1.0), BOX],
        "classes": [2, 0, 1],
        "masks": [PIXELS[:, :, :1], PIXELS[:, :, 1:2]],
        "no_masks": [],
        "objects": [{"box": BOX, "crowd": True}, {"box": BOX, "crowd": False}],
        "pair": [0.5, 1.5],
    }
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    record = serializer.serialize_example(features.encode_example(value))
    return record, features


def _jpeg(pixels: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, body: bytes) -> str:
    path.write_bytes(body)
    return str(path)
