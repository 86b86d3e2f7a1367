"""Files that are damaged in any way are decoded or refused, never anything else."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset_handlers.operations.decode import (
    FORMATS,
    Reducible,
    decode_color,
    decode_deep,
    decode_grey,
)
from dataset_handlers.sdk.errors import BadItemError

MAX_PIXELS = 1_000_000
MODES = ["RGB", "L", "P", "RGBA", "CMYK", "1", "I;16"]


def written(file_format: str, mode: str) -> bytes | None:
    """A small picture in a file; None where the format has no such pixels."""
    grey = np.arange(24 * 20, dtype=np.uint32).reshape(20, 24)
    source = Image.fromarray((grey % 256).astype(np.uint8))
    image = Image.fromarray(grey.astype(np.uint16)) if mode == "I;16" else source.convert(mode)
    file = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    try:
        image.save(file, file_format, **({"exif": exif} if file_format != "BMP" else {}))
    except (OSError, ValueError):
        return None
    return file.getvalue()


WHOLE = [data for f in FORMATS for mode in MODES if (data := written(f, mode)) is not None]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file with bytes changed, left out, doubled, or the end of another file."""
    body = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, min(len(body), 200)) | st.integers(0, len(body)))
        piece = draw(st.binary(max_size=4) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff"]))
        body[at : at + draw(st.sampled_from([0, len(piece), len(piece), 8, 100_000]))] = piece
    if draw(st.booleans()):
        other = draw(st.sampled_from(WHOLE))
        body += other[draw(st.integers(0, len(other))) :]
    return bytes(body)


def check(data: bytes) -> None:
    for decode, channels in ((decode_color, (3,)), (decode_grey, ())):
        try:
            decoded = decode(data, MAX_PIXELS, Reducible((4, 4), exact=False))
        except BadItemError as error:
            assert str(error).strip()
            continue
        assert decoded.pixels.dtype == np.uint8
        assert decoded.pixels.shape[2:] == channels
        assert decoded.pixels.size <= MAX_PIXELS * 3
    try:
        deep = decode_deep(data, MAX_PIXELS)
    except BadItemError as error:
        assert str(error).strip()
    else:
        assert deep.pixels.dtype in (np.uint8, np.uint16)
        assert deep.pixels.shape == deep.size


def test_there_is_something_of_everything() -> None:
    assert len(WHOLE) > 20
    for data in WHOLE:
        check(data)


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_damaged_files(data: bytes) -> None:
    check(data)


@pytest.mark.long
@settings(max_examples=5_000, deadline=None)
@given(damaged() | st.binary(max_size=300))
def test_many_more_damaged_files(data: bytes) -> None:
    check(data)
