"""Encode images as files."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.sdk.errors import BadItemError

_LARGEST_JPEG_SIDE = 65_500
"""libjpeg's JPEG_MAX_DIMENSION."""
_FASTEST = 1
"""zlib's level; with run lengths alone the others find nothing more."""


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Return a baseline JPEG file, chroma halved both ways (4:2:0) for colour.

    `quality` is libjpeg's, 1 to 100. Raises `BadItemError` for an image too large for the format.
    """
    return jpeg_file(pixels, quality).tobytes()


def jpeg_file(pixels: Pixels, quality: int) -> npt.NDArray[np.uint8]:
    """Return the same as an array, of which there is one copy less."""
    if max(pixels.shape) > _LARGEST_JPEG_SIDE:
        raise BadItemError(f"an image of {list(pixels.shape[:2])} is too large for JPEG")
    return _encoded(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(pixels: Pixels) -> bytes:
    """Return a PNG file, 8 or 16 bit as the pixels are, grey or colour: nothing is lost.

    The settings are for masks: a third of the time of zlib's level 9, and a third larger.
    """
    settings = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    settings += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return _encoded(".png", pixels, [*settings, cv2.IMWRITE_PNG_COMPRESSION, _FASTEST]).tobytes()


def _encoded(suffix: str, pixels: Pixels, settings: list[int]) -> npt.NDArray[np.uint8]:
    done, data = cv2.imencode(suffix, pixels, settings)
    if not done:
        raise BadItemError(f"an image of {list(pixels.shape)} can't be encoded as {suffix}")
    encoded: npt.NDArray[np.uint8] = data
    return encoded
