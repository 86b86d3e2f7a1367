"""What the records of a classic handler hold, told from the records themselves.

The JSON is that of TensorFlow Datasets' features.json (core/features/*.py, `to_json_content`).
"""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from datamill.errors import RecordError
from datamill.example import decode_example
from datamill.records import read_records

_LOOKED_AT = 200
_MODULE = "tensorflow_datasets.core.features"


def infer_features(files: list[Path]) -> dict[str, Any] | None:
    """Return features.json for some TFRecord files of tf.train.Example.

    None where their payloads are something else, or where records differ in their features.
    """
    seen: dict[str, list[list[Any]]] = {}
    number = 0
    for payload in islice((p for file in files for p in read_records(file)), _LOOKED_AT):
        number += 1
        try:
            example = decode_example(payload)
        except RecordError:
            return None
        for name, values in example.items():
            seen.setdefault(name, []).append(list(values))
    if not seen or any(len(v) != number or len(_kinds(v)) > 1 for v in seen.values()):
        return None
    features = {name: _feature(values) for name, values in sorted(seen.items())}
    return {
        "pythonClassName": f"{_MODULE}.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }


def _kinds(columns: list[list[Any]]) -> set[type]:
    return {type(value) for values in columns for value in values}


def _feature(columns: list[list[Any]]) -> dict[str, Any]:
    lengths = {len(values) for values in columns}
    filled = [value for values in columns for value in values]
    scalar = _scalar(filled)
    if lengths == {1}:
        return scalar
    if len(lengths) == 1 and "tensor" in scalar:
        return _tensor([lengths.pop()], scalar["tensor"]["dtype"])
    return {
        "pythonClassName": f"{_MODULE}.sequence_feature.Sequence",
        "sequence": {"feature": scalar, "length": "-1"},
    }


def _scalar(values: list[Any]) -> dict[str, Any]:
    first = values[0] if values else 0
    if isinstance(first, bytes):
        return _image(values) or {"pythonClassName": f"{_MODULE}.text_feature.Text", "text": {}}
    return _tensor([], "int64" if isinstance(first, int) else "float32")


def _tensor(shape: list[int], dtype: str) -> dict[str, Any]:
    dimensions = {"dimensions": [str(length) for length in shape]} if shape else {}
    tensor = {"shape": dimensions, "dtype": dtype, "encoding": "none"}
    name = "tensor_feature.Tensor" if shape else "scalar.Scalar"
    return {"pythonClassName": f"{_MODULE}.{name}", "tensor": tensor}


def _image(values: list[bytes]) -> dict[str, Any] | None:
    kinds = {_image_kind(value) for value in values}
    if None in kinds or len({kind[0] for kind in kinds if kind}) != 1:
        return None
    (encoding,) = {kind[0] for kind in kinds if kind}
    channels = {kind[1] for kind in kinds if kind}
    depth = str(channels.pop()) if len(channels) == 1 else "3"
    dtype = "uint16" if all(kind[2] for kind in kinds if kind) else "uint8"
    return {
        "pythonClassName": f"{_MODULE}.image_feature.Image",
        "image": {
            "shape": {"dimensions": ["-1", "-1", depth]},
            "dtype": dtype,
            "encodingFormat": encoding,
        },
    }


def _image_kind(value: bytes) -> tuple[str, int, bool] | None:
    """Return format, channels and whether they have 16 bits; None where it is no image."""
    if not value.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return None
    try:
        with Image.open(io.BytesIO(value), formats=("JPEG", "PNG")) as image:
            deep = image.mode.startswith("I")
            channels = 1 if deep else {"1": 1, "L": 1, "LA": 2, "RGBA": 4}.get(image.mode, 3)
            return str(image.format).lower(), channels, deep
    except (UnidentifiedImageError, OSError):
        return None
