"""Whether a record holds what its handler announced."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, UnidentifiedImageError

from datamill.errors import RecordError, first_line
from datamill.example import decode_example
from datamill.features import Feature

_CHANNELS = {"1": 1, "L": 1, "I": 1, "I;16": 1, "LA": 2, "P": 3, "RGB": 3, "CMYK": 4, "RGBA": 4}
"""Of Pillow's modes; decoders make a palette a colour."""


def flaw(payload: bytes, features: list[Feature], labels: dict[str, list[str]]) -> str | None:
    """Return what is wrong with a record; None where it is as announced.

    `labels`: the class names of each label.
    """
    try:
        values = decode_example(payload)
    except RecordError as error:
        return first_line(error)
    extra = values.keys() - {feature.name for feature in features}
    if extra:
        return f"it holds {', '.join(sorted(extra))}, which the features don't announce"
    for feature in features:
        found = values.get(feature.name)
        if found is None and not _may_be_empty(feature):
            return f"it lacks {feature.name}"
        wrong = _flaw_of(feature, list(found or []), labels.get(feature.name))
        if wrong:
            return f"{feature.name}: {wrong}"
    return None


def _may_be_empty(feature: Feature) -> bool:
    return feature.kind == "images" or (feature.kind == "tensor" and None in feature.shape)


def _flaw_of(feature: Feature, values: list[Any], names: list[str] | None) -> str | None:
    match feature.kind:
        case "images":
            flaws = (_image_flaw(feature, value) for value in values)
            return next((each for each in flaws if each), None)
        case "tensor":
            return _tensor_flaw(feature, values)
    if len(values) != 1:
        return f"{len(values)} values, announced is one"
    (value,) = values
    if feature.kind == "image":
        return _image_flaw(feature, value)
    if feature.kind == "text":
        return None if isinstance(value, bytes) else f"{value!r} is no text"
    if not isinstance(value, int):
        return f"{value!r} is no integer"
    if names is not None and not 0 <= value < len(names):
        return f"{value}, announced are {len(names)} classes"
    return None


def _tensor_flaw(feature: Feature, values: list[Any]) -> str | None:
    wanted = {"f": float, "s": bytes}.get(feature.dtype[:1], int)
    other = next((value for value in values if not isinstance(value, wanted)), None)
    if other is not None:
        return f"a {type(other).__name__}, announced is {feature.dtype}"
    size = 1
    for side in feature.shape:
        size *= 1 if side is None else side
    known = None not in feature.shape
    fits = len(values) == size if known else size > 0 and len(values) % size == 0
    shape = ["any" if side is None else side for side in feature.shape]
    return None if fits else f"{len(values)} values do not fill the shape {shape}"


def _image_flaw(feature: Feature, value: Any) -> str | None:
    if not isinstance(value, bytes):
        return f"{value!r} is no image"
    try:
        with Image.open(io.BytesIO(value), formats=("JPEG", "PNG")) as image:
            kind, width, height, mode = str(image.format).lower(), *image.size, image.mode
    except (UnidentifiedImageError, OSError):
        return "no JPEG and no PNG"
    except Image.DecompressionBombError:
        return None  # too large for Pillow, which is no fault
    if feature.encoding and kind != feature.encoding:
        return f"a {kind}, announced is {feature.encoding}"
    found = (height, width, _CHANNELS.get(mode.split(";")[0], 3))
    pairs = zip(feature.shape, found, strict=True)
    if len(feature.shape) == 3 and any(wanted not in (None, side) for wanted, side in pairs):
        wanted = ["any" if side is None else side for side in feature.shape]
        return f"an image of {list(found)}, announced is {wanted}"
    if (feature.dtype == "uint16") != mode.startswith("I"):
        return (
            f"an image with {16 if mode.startswith('I') else 8} bits, announced is {feature.dtype}"
        )
    return None
