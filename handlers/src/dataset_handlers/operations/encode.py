"""Encode images as files."""

from __future__ import annotations

import cv2

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.sdk.errors import BadItemError

_LARGEST_JPEG_SIDE = 65_500
"""libjpeg's JPEG_MAX_DIMENSION."""


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Return a baseline JPEG file, chroma halved both ways (4:2:0) for colour.

    `quality` is libjpeg's, 1 to 100. Raises `BadItemError` for an image too large for the format.
    """
    if max(pixels.shape) > _LARGEST_JPEG_SIDE:
        raise BadItemError(f"an image of {list(pixels.shape[:2])} is too large for JPEG")
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return _encoded(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(pixels: Pixels) -> bytes:
    """Return a PNG file, 8 bit, grey or RGB: nothing is lost.

    OpenCV's own settings (one filter, run lengths): three times as fast as any level of zlib, and
    the smallest but one for masks.
    """
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return _encoded(".png", bgr, [])


def _encoded(suffix: str, bgr: Pixels, settings: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, bgr, settings)
    if not done:
        raise BadItemError(f"an image of {list(bgr.shape)} can't be encoded as {suffix}")
    encoded: bytes = data.tobytes()
    return encoded
