"""Reads what handlers write by means that the handlers don't use."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from dataset_handlers.sdk.example import decode_example


def read_frames(path: str | Path) -> list[bytes]:
    """Cut a TFRecord file into records."""
    return frames(Path(path).read_bytes())


def frames(data: bytes) -> list[bytes]:
    """Cut what a TFRecord file holds into records; checksums are tested elsewhere."""
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        found.append(data[at + 12 : at + 12 + length])
        at += 12 + length + 4
    assert at == len(data)
    return found


def read_records(path: str | Path) -> list[dict[str, list]]:
    return [decode_example(frame) for frame in read_frames(path)]


def pixels_of(encoded: bytes) -> np.ndarray:
    """Decode with Pillow: RGB or grey."""
    return np.asarray(Image.open(io.BytesIO(encoded)))


def encoded_as(pixels: np.ndarray, file_format: str, **settings: object) -> bytes:
    """Encode with Pillow; takes RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **settings)
    return buffer.getvalue()
