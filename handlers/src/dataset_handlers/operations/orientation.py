"""The EXIF tag Orientation: how a camera was held."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable

import cv2
from PIL import ExifTags, Image

from dataset_handlers.operations.arrays import Pixels

UPRIGHT = 1
SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations that exchange width and height."""

# What makes an image of each orientation upright. Source: Exif 2.32 (CIPA DC-008), tag 274.
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: lambda pixels: cv2.transpose(pixels),
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}

# Pillow raises all of these.
_MALFORMED = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    EOFError, struct.error,
)  # fmt: skip


def orientation_of(image: Image.Image) -> int:
    """Return the orientation, 1 to 8; 1 (upright) where none is given or EXIF is malformed."""
    if image.format == "JPEG" and "exif" not in image.info and "xmp" not in image.info:
        return UPRIGHT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except _MALFORMED:
        return UPRIGHT
    return orientation if orientation in _TURNS else UPRIGHT


def turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return the image as it is meant to be seen."""
    return _TURNS[orientation](pixels) if orientation in _TURNS else pixels
