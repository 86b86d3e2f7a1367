"""preview.jpg: a contact sheet of records, to look at."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from datamill.errors import RecordError
from datamill.example import decode_example
from datamill.records import read_records
from datamill_builder.record_pictures import (
    PICTURE_PIXELS,
    Record,
    pictures_of,
    visible_features,
)

SHOWN_RECORDS = 24
"""The sheet shows so many, or all."""

_CAPTION_PIXELS = 18
_CAPTION_CHARACTERS = 100
_GAP_PIXELS = 6
_PICTURES_PER_ROW = 8
_BACKGROUND = (28, 28, 30)
_INK = (225, 225, 225)
_QUALITY = 88

Row = list[Image.Image | None]
"""The pictures of a record, each in its column."""


def contact_sheet(
    files: list[Path], features: dict[str, Any] | None, labels: dict[str, list[str]]
) -> bytes:
    """Return a JPEG that shows the first records of some TFRecord files.

    The images of one record stand side by side, with its boxes in the first and its labels below:
    also float tensors, and the first images of a sequence. Records without an image get a line of
    text.
    """
    visible = visible_features(features)
    shown, captions = [], []
    for record in islice(_records(files), SHOWN_RECORDS):
        shown.append(pictures_of(record, visible))
        captions.append(_caption(record, labels))
    rows = _rows(shown, [feature.name for feature in visible])
    per_record = max(1, *(len(row) for row in rows)) if rows else 1
    columns = max(1, _PICTURES_PER_ROW // per_record)
    lines = max(1, -(-len(rows) // columns))
    width = columns * (per_record * PICTURE_PIXELS + _GAP_PIXELS) + _GAP_PIXELS
    caption_pixels = _CAPTION_PIXELS if any(captions) else 0
    line_pixels = PICTURE_PIXELS + caption_pixels + _GAP_PIXELS
    height = lines * line_pixels + _GAP_PIXELS
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        line, column = divmod(number, columns)
        left = _GAP_PIXELS + column * (per_record * PICTURE_PIXELS + _GAP_PIXELS)
        top = _GAP_PIXELS + line * line_pixels
        _draw(sheet, row, caption, left, top, per_record * PICTURE_PIXELS)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _rows(shown: list[dict[str, list[Image.Image]]], names: list[str]) -> list[Row]:
    """Return the pictures of each record; each feature has the columns that it needs at most."""
    rows: list[Row] = [[] for _ in shown]
    for name in names:
        of_each = [pictures.get(name, []) for pictures in shown]
        columns = max((len(pictures) for pictures in of_each), default=0)
        for row, pictures in zip(rows, of_each, strict=True):
            row += [*pictures, *[None] * (columns - len(pictures))]
    return [row[:_PICTURES_PER_ROW] for row in rows]


def _records(files: list[Path]) -> Iterator[Record]:
    try:
        for file in files:
            for payload in read_records(file):
                yield decode_example(payload)
    except (RecordError, OSError):
        return  # no tf.train.Example, or damaged, which whoever packs notices by the digest


def _caption(record: Record, labels: dict[str, list[str]]) -> str:
    parts = []
    for name, values in sorted(record.items()):
        if len(values) != 1 or isinstance(values[0], bytes):
            continue
        known = labels.get(name)
        value = values[0]
        if known and isinstance(value, int) and 0 <= value < len(known):
            parts.append(known[value])
        else:
            parts.append(f"{name} {value}" if isinstance(value, int) else f"{name} {value:g}")
    return " ".join(", ".join(parts).split())[:_CAPTION_CHARACTERS]


def _draw(sheet: Image.Image, row: Row, caption: str, left: int, top: int, width: int) -> None:
    for number, image in enumerate(row):
        if image is not None:
            x = left + number * PICTURE_PIXELS + (PICTURE_PIXELS - image.width) // 2
            sheet.paste(image, (x, top + (PICTURE_PIXELS - image.height) // 2))
    font = ImageFont.load_default(12)
    draw = ImageDraw.Draw(sheet)
    while caption and draw.textlength(caption, font=font) > width:
        caption = caption[:-2].rstrip(" …") + "…" if len(caption) > 2 else ""
    draw.text((left + 2, top + PICTURE_PIXELS + 2), caption, fill=_INK, font=font)
