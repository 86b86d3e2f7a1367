"""Decode image files into upright pixels of 16 bits.

As `decode` does, but that channels of 16 bits keep all of them, and those of 8 are spread over the
same range, so that 255 becomes 65,535. CMYK and other colour spaces come by their upper 8.
A single colour that is to be transparent is not looked at in 16 bits.
"""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.decode import (
    Decoded,
    decode_color,
    decode_deep_channels,
    decode_grey,
)

WHITE = 65_535

_SPREAD = 257
_ROWS_AT_ONCE = 64
_WEIGHTS = (7_471, 38_470, 19_595)
"""Of blue, green and red, of 65,536: Pillow's, of ITU-R BT.601."""


def decode_color_sixteen(data: bytes, max_pixels: int) -> Decoded:
    """Return uint16 `[height, width, 3]`, blue first. Raises `BadItemError`."""
    pixels = decode_deep_channels(data, max_pixels)
    if pixels is None:
        return _spread(decode_color(data, max_pixels))
    if pixels.ndim == 2:
        return _decoded(np.repeat(pixels[..., np.newaxis], 3, axis=2))
    return _decoded(_on_background(pixels, WHITE))


def decode_grey_sixteen(data: bytes, max_pixels: int) -> Decoded:
    """Return uint16 `[height, width]`. Raises `BadItemError`."""
    pixels = decode_deep_channels(data, max_pixels)
    if pixels is None:
        return _spread(decode_grey(data, max_pixels))
    return _decoded(pixels if pixels.ndim == 2 else _as_grey(_on_background(pixels, 0)))


def _decoded(pixels: Pixels) -> Decoded:
    return Decoded(pixels, (pixels.shape[0], pixels.shape[1]))


def _spread(decoded: Decoded) -> Decoded:
    return Decoded(decoded.pixels.astype(np.uint16) * np.uint16(_SPREAD), decoded.size)


def _on_background(pixels: Pixels, background: int) -> Pixels:
    """Return what shows where a fourth channel is the share of the picture in each pixel."""
    if pixels.shape[2] == 3:
        return pixels
    shown = np.empty((*pixels.shape[:2], 3), np.uint16)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = pixels[top : top + _ROWS_AT_ONCE].astype(np.int64)
        share = rows[..., 3:]
        mixed = rows[..., :3] * share + background * (WHITE - share)
        shown[top : top + _ROWS_AT_ONCE] = (mixed + WHITE // 2) // WHITE
    return shown


def _as_grey(pixels: Pixels) -> Pixels:
    grey = np.empty(pixels.shape[:2], np.uint16)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = pixels[top : top + _ROWS_AT_ONCE].astype(np.int64)
        grey[top : top + _ROWS_AT_ONCE] = (rows @ np.array(_WEIGHTS) + (1 << 15)) >> 16
    return grey
