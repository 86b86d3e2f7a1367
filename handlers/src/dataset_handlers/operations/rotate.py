"""Rotate, without black corners.

An image that is rotated by θ about its centre covers, of its own frame, all of a centred rectangle
of the same proportions, smaller by k: width and height of that rectangle, rotated back, have to fit
into the image, k (w |cos θ| + h |sin θ|) ≤ w and k (w |sin θ| + h |cos θ|) ≤ h. That rectangle is
enlarged to the whole frame. It follows from the rotation itself, counter-clockwise with y down:
x' = x cos θ + y sin θ, y' = y cos θ - x sin θ; each pixel of the result is taken from where the
inverse of that says. Source: R. C. Gonzalez and R. E. Woods, "Digital Image Processing", 4th
edition 2018, 2.6, geometric transformations, inverse mapping.

Positions are computed in integers once per image, for the picture and its mask alike:
cv2.warpAffine gives other pixels on processors without AVX2; cv2.remap with positions in its own
fixed-point format does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels, Points, Size
from dataset_handlers.operations.crop import Window
from dataset_handlers.sdk.errors import BadItemError

_LARGEST_SIDE = 32_767
"""cv2.remap takes positions of 16 bit."""
_FRACTION_BITS = 14
_REMAP_BITS = 5
"""cv2.remap interpolates in steps of 1/32 pixel (INTER_BITS)."""
_PART_MASK = (1 << _REMAP_BITS) - 1
_NO_PARTS = np.empty(0, np.uint16)
_HALF = 1 << (_REMAP_BITS - 1)
_ROWS_AT_ONCE = 64
"""So that what is computed stays in the processor's cache: twice as fast as all at once."""
_DIGITS = 12
"""Sines are rounded to this, since mathematics libraries differ in the last digit."""


@dataclass(frozen=True)
class Positions:
    """For every pixel of the result, where it comes from, as cv2.remap takes it."""

    whole: npt.NDArray[np.int16]
    parts: npt.NDArray[np.uint16]

    def take(self, pixels: Pixels, *, nearest: bool) -> Pixels:
        """Return the rotated image; `nearest`, for masks, makes no new values."""
        edge = cv2.BORDER_REPLICATE
        taken: Pixels
        if nearest:
            taken = cv2.remap(
                pixels, self._nearest(), _NO_PARTS, cv2.INTER_NEAREST, borderMode=edge
            )
        else:
            taken = cv2.remap(pixels, self.whole, self.parts, cv2.INTER_LINEAR, borderMode=edge)
        return taken

    def _nearest(self) -> npt.NDArray[np.int16]:
        """Round here: cv2.remap rounds such positions the wrong way, to the farther pixel."""
        nearest = self.whole.copy()
        nearest[..., 0] += ((self.parts & _PART_MASK) >= _HALF).view(np.uint8)
        nearest[..., 1] += ((self.parts >> _REMAP_BITS) >= _HALF).view(np.uint8)
        return nearest


def inscribed_scale(size: Size, degrees: float) -> float:
    """Return k of the module's formula: 1 without rotation, smaller with."""
    height, width = size
    cosine, sine = (abs(value) for value in _cosine_and_sine(degrees))
    return min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))


def rotated_positions(size: Size, degrees: float, window: Window) -> Positions:
    """Return where the pixels of `window` come from, in an image rotated counter-clockwise.

    Raises `BadItemError` for an image with a side above 32,767.
    """
    if max(size) > _LARGEST_SIDE:
        raise BadItemError(f"an image of {list(size)} is too large to be rotated")
    cosine, sine = _cosine_and_sine(degrees)
    scale = inscribed_scale(size, degrees)
    # Distances of pixel centres from the image's centre; down is positive.
    down = np.arange(window.top, window.top + window.height) + (1 - size[0]) / 2
    right = np.arange(window.left, window.left + window.width) + (1 - size[1]) / 2
    x_rows, y_rows = _fine(-scale * sine * down), _fine(scale * cosine * down)
    x_columns = _fine(scale * cosine * right + (size[1] - 1) / 2)
    y_columns = _fine(scale * sine * right + (size[0] - 1) / 2)
    positions = Positions(
        np.empty((window.height, window.width, 2), np.int16),
        np.empty((window.height, window.width), np.uint16),
    )
    for top in range(0, window.height, _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        x = _in_parts(x_rows[rows, np.newaxis] + x_columns)
        y = _in_parts(y_rows[rows, np.newaxis] + y_columns)
        positions.whole[rows, :, 0] = x >> _REMAP_BITS
        positions.whole[rows, :, 1] = y >> _REMAP_BITS
        positions.parts[rows] = ((y & _PART_MASK) << _REMAP_BITS) + (x & _PART_MASK)
    return positions


def rotated_points(size: Size, degrees: float, points: Points) -> Points:
    """Return where points of an image lie once it is rotated as `rotated_positions` does."""
    cosine, sine = _cosine_and_sine(degrees)
    scale, centre = inscribed_scale(size, degrees), np.divide(size, 2)
    turn = np.array([[cosine, sine], [-sine, cosine]]) / scale
    rotated: Points = (points - centre) @ turn + centre
    return rotated


def _fine(distances: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
    """Return the distances as integers with `_FRACTION_BITS` of fraction."""
    fine: npt.NDArray[np.int32] = np.rint(distances * (1 << _FRACTION_BITS)).astype(np.int32)
    return fine


def _in_parts(fine: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Round to 1/32 pixels, in place."""
    drop = _FRACTION_BITS - _REMAP_BITS
    fine += 1 << (drop - 1)
    fine >>= drop
    return fine


def _cosine_and_sine(degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return round(math.cos(angle), _DIGITS), round(math.sin(angle), _DIGITS)
