"""What of a record can be looked at: its images, float tensors of two axes, and boxes."""

from __future__ import annotations

import io
import math
import struct
import zlib
from array import array
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, ImageDraw

PICTURE_PIXELS = 176
"""The longer side of each picture."""

_MOST_OF_A_SEQUENCE = 3
_BOX_LINE_PIXELS = 2
_BOX_INK = ((255, 214, 10), (50, 215, 255), (255, 95, 220), (120, 255, 90))
_FAINT = 16
"""Masks of classes 0, 1, 2, … are shown over the whole range; nothing could be seen otherwise."""
_FLAT = 128

# Pillow's decoders raise all of these on files that are broken in some way.
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError,
    RuntimeError, EOFError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

Record = dict[str, list[Any]]


@dataclass(frozen=True)
class Visible:
    """A feature that is shown as pictures, or as boxes drawn onto the first of them."""

    name: str
    kind: Literal["image", "tensor", "box"]
    shape: tuple[int, ...] = ()
    """Of a tensor; -1 is unknown."""


def visible_features(features: dict[str, Any] | None) -> list[Visible]:
    """Return what can be shown of a features.json, the picture itself first."""
    named = (features or {}).get("featuresDict", {}).get("features", {})
    found = [_visible_or_none(name, feature) for name, feature in named.items()]
    # What was made for the picture comes after it.
    return sorted(filter(None, found), key=lambda shown: (shown.name != "image", shown.name))


def _visible_or_none(name: str, feature: dict[str, Any]) -> Visible | None:
    try:
        return _visible(name, feature)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None  # a handler may describe its features in its own way


def _visible(name: str, feature: dict[str, Any]) -> Visible | None:
    each = feature.get("sequence", {}).get("feature", feature)
    if "image" in each:
        return Visible(name, "image")
    if "boundingBox" in each:
        return Visible(name, "box")
    tensor = feature.get("tensor", {})
    shape = tuple(int(side) for side in tensor.get("shape", {}).get("dimensions", ()))
    flat = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    return Visible(name, "tensor", shape) if tensor.get("dtype") == "float32" and flat else None


def pictures_of(record: Record, features: list[Visible]) -> dict[str, list[Image.Image]]:
    """Return pictures of each feature that has any; what is broken is dark red."""
    pictures = {
        feature.name: [
            _fitted(picture) for picture in _pictures(record.get(feature.name, []), feature)
        ]
        for feature in features
        if feature.kind != "box"
    }
    first = next((shown for shown in pictures.values() if shown), [])
    boxes = [feature.name for feature in features if feature.kind == "box"]
    for number, name in enumerate(boxes):
        for picture in first[:1]:
            _draw_boxes(picture, record.get(name, []), _BOX_INK[number % len(_BOX_INK)])
    return pictures


def _pictures(values: list[Any], feature: Visible) -> list[Image.Image]:
    if not values:
        return []
    if feature.kind == "tensor":
        return [_of_tensor(values, feature.shape)]
    return [_decoded(value) for value in values[:_MOST_OF_A_SEQUENCE]]


def _decoded(encoded: Any) -> Image.Image:
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as image:
            image.draft("RGB", (PICTURE_PIXELS, PICTURE_PIXELS))
            return _eight_bit(image).convert("RGB")
    except _BROKEN:
        return _broken()


def _broken() -> Image.Image:
    return Image.new("RGB", (8, 8), (120, 0, 0))


def _eight_bit(image: Image.Image) -> Image.Image:
    faint = image.mode == "L" and image.getextrema()[1] in range(1, _FAINT + 1)
    if not faint and not image.mode.startswith(("I", "F")):
        return image
    top = max(1.0, float(image.getextrema()[1]))  # type: ignore[arg-type]
    return image.point(lambda value: value * (255.0 / top)).convert("L")


def _of_tensor(values: list[Any], shape: tuple[int, ...]) -> Image.Image:
    """Return numbers as grey or colour, from their own minimum to their own maximum."""
    per_row = math.prod(shape[1:])
    height, width = len(values) // per_row if per_row > 0 else 0, shape[1]
    whole = shape[0] in (-1, height) and height * per_row == len(values) > 0
    if not whole or not isinstance(values[0], float):
        return _broken()
    # No more than can be seen: tensors have millions of numbers.
    step = -(-max(height, width) // PICTURE_PIXELS)
    channels = shape[2] if len(shape) == 3 else 1
    rows = [values[at : at + per_row] for at in range(0, len(values), step * per_row)]
    size, (low, high) = (-(-width // step), len(rows)), _range(values)
    planes = [
        _plane([value for row in rows for value in row[first :: step * channels]], size, low, high)
        for first in range(channels)
    ]
    return Image.merge("RGB", planes if channels == 3 else planes * 3)


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def _plane(values: list[float], size: tuple[int, int], low: float, high: float) -> Image.Image:
    """Return numbers as grey; what is no number is black."""
    if low == high:
        return Image.new("L", size, _FLAT)
    if not math.isfinite(sum(values)):
        values = [min(high, max(low, value)) for value in values]
    scale = 255 / (high - low)
    shades = array("f", [(value - low) * scale for value in values])
    return Image.frombytes("F", size, shades.tobytes()).convert("L")


def _fitted(picture: Image.Image) -> Image.Image:
    # Small images (digits of 8 by 8 pixels) are shown large, pixel by pixel.
    scale = min(PICTURE_PIXELS / picture.width, PICTURE_PIXELS / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(
        size,
        Image.Resampling.NEAREST
        if scale >= 3
        else Image.Resampling.BOX
        if scale < 1
        else Image.Resampling.BICUBIC,
    )


def _draw_boxes(picture: Image.Image, sides: list[Any], ink: tuple[int, int, int]) -> None:
    draw = ImageDraw.Draw(picture)
    for at in range(0, len(sides) - 3, 4):
        box = sides[at : at + 4]
        if not all(isinstance(side, float) and 0 <= side <= 1 for side in box):
            continue
        top, left, bottom, right = box
        if top <= bottom and left <= right:
            across, down = picture.width - 1, picture.height - 1
            corners = (left * across, top * down, right * across, bottom * down)
            draw.rectangle(corners, outline=ink, width=_BOX_LINE_PIXELS)
