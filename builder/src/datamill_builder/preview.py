"""preview.jpg: a contact sheet of records, to look at."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from datamill.errors import RecordError
from datamill.example import decode_example
from datamill.records import read_records

SHOWN_RECORDS = 24
"""The sheet shows so many, or all."""

_CELL_PIXELS = 176
_CAPTION_PIXELS = 18
_CAPTION_CHARACTERS = 100
_GAP_PIXELS = 6
_CELLS_PER_ROW = 8
_BACKGROUND = (28, 28, 30)
_INK = (225, 225, 225)
_QUALITY = 88
_FAINT = 16
"""Masks of classes 0, 1, 2, … are shown over the whole range; nothing could be seen otherwise."""

# Pillow's decoders raise all of these on files that are broken in some way.
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError,
    RuntimeError, EOFError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def contact_sheet(
    files: list[Path], features: dict[str, Any] | None, labels: dict[str, list[str]]
) -> bytes:
    """Return a JPEG that shows the first records of some TFRecord files.

    The images of one record stand side by side, its labels below. Records without an image get
    a line of text.
    """
    records = list(islice(_records(files), SHOWN_RECORDS))
    names = _image_names(features)
    cells = [(_cells(record, names), _caption(record, labels)) for record in records]
    per_record = max(1, len(names))
    columns = max(1, _CELLS_PER_ROW // per_record)
    rows = max(1, -(-len(cells) // columns))
    width = columns * (per_record * _CELL_PIXELS + _GAP_PIXELS) + _GAP_PIXELS
    caption_pixels = _CAPTION_PIXELS if any(caption for _, caption in cells) else 0
    row_pixels = _CELL_PIXELS + caption_pixels + _GAP_PIXELS
    height = rows * row_pixels + _GAP_PIXELS
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    for number, (images, caption) in enumerate(cells):
        row, column = divmod(number, columns)
        left = _GAP_PIXELS + column * (per_record * _CELL_PIXELS + _GAP_PIXELS)
        top = _GAP_PIXELS + row * row_pixels
        _draw(sheet, images, caption, left, top, per_record * _CELL_PIXELS)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _records(files: list[Path]) -> Any:
    try:
        for file in files:
            for payload in read_records(file):
                yield decode_example(payload)
    except (RecordError, OSError):
        return  # no tf.train.Example, or damaged, which whoever packs notices by the digest


def _image_names(features: dict[str, Any] | None) -> list[str]:
    named = (features or {}).get("featuresDict", {}).get("features", {})
    images = [name for name, feature in named.items() if "image" in feature]
    # The picture itself first, what was made for it after.
    return sorted(images, key=lambda name: (name != "image", name))[:_CELLS_PER_ROW]


def _cells(record: dict[str, Any], names: list[str]) -> list[Image.Image]:
    values = [record[name][0] for name in names if record.get(name)]
    return [_decoded(value if isinstance(value, bytes) else b"") for value in values]


def _decoded(encoded: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as image:
            image.draft("RGB", (_CELL_PIXELS, _CELL_PIXELS))
            shown = _eight_bit(image).convert("RGB")
    except _BROKEN:
        return Image.new("RGB", (8, 8), (120, 0, 0))
    # Small images (digits of 8 by 8 pixels) are shown large, pixel by pixel.
    scale = min(_CELL_PIXELS / shown.width, _CELL_PIXELS / shown.height)
    size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
    return shown.resize(
        size,
        Image.Resampling.NEAREST
        if scale >= 3
        else Image.Resampling.BOX
        if scale < 1
        else Image.Resampling.BICUBIC,
    )


def _eight_bit(image: Image.Image) -> Image.Image:
    faint = image.mode == "L" and image.getextrema()[1] in range(1, _FAINT + 1)
    if not faint and not image.mode.startswith(("I", "F")):
        return image
    top = max(1.0, float(image.getextrema()[1]))  # type: ignore[arg-type]
    return image.point(lambda value: value * (255.0 / top)).convert("L")


def _caption(record: dict[str, Any], labels: dict[str, list[str]]) -> str:
    parts = []
    for name, values in sorted(record.items()):
        if len(values) != 1 or isinstance(values[0], bytes):
            continue
        known = labels.get(name)
        value = values[0]
        if known and isinstance(value, int) and 0 <= value < len(known):
            parts.append(known[value])
        else:
            parts.append(f"{name} {value:g}")
    return " ".join(", ".join(parts).split())[:_CAPTION_CHARACTERS]


def _draw(
    sheet: Image.Image, images: list[Image.Image], caption: str, left: int, top: int, width: int
) -> None:
    for number, image in enumerate(images):
        x = left + number * _CELL_PIXELS + (_CELL_PIXELS - image.width) // 2
        sheet.paste(image, (x, top + (_CELL_PIXELS - image.height) // 2))
    font = ImageFont.load_default(12)
    draw = ImageDraw.Draw(sheet)
    while caption and draw.textlength(caption, font=font) > width:
        caption = caption[:-2].rstrip(" …") + "…" if len(caption) > 2 else ""
    draw.text((left + 2, top + _CELL_PIXELS + 2), caption, fill=_INK, font=font)
