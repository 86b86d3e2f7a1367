"""Mix the channels of a picture by a matrix, in integers."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels

LARGEST_WEIGHT = 32
"""Three products of it and 255 still fit into 32 bits."""

_FRACTION_BITS = 16
_ROWS_AT_ONCE = 32
"""So that what is computed stays in the processor's cache."""


def mix_channels(pixels: Pixels, matrix: npt.NDArray[np.float64], *, spare: bool = False) -> Pixels:
    """Return `matrix` times each pixel's (blue, green, red), rounded, from 0 to 255.

    The matrix is `[3, 3]`; its values are rounded to 1/65536. `spare`: the pixels are not needed
    any more, and take the result. Raises ValueError if a value is above 32, of either sign.
    """
    if np.abs(matrix).max() > LARGEST_WEIGHT:
        raise ValueError(f"weights above {LARGEST_WEIGHT} are not computed")
    weights = np.rint(matrix * (1 << _FRACTION_BITS)).astype(np.int32).tolist()
    mixed = pixels if spare else np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        # Planes: numpy computes several neighbours at once, but not every third.
        planes = [plane.astype(np.int32) for plane in cv2.split(pixels[rows])]
        cv2.merge([_mixed(planes, row) for row in weights], mixed[rows])
    return mixed


def _mixed(planes: list[npt.NDArray[np.int32]], row: list[int]) -> npt.NDArray[np.uint8]:
    total = planes[0] * row[0]
    total += 1 << (_FRACTION_BITS - 1)
    for plane, weight in zip(planes[1:], row[1:], strict=True):
        total += plane * weight
    total >>= _FRACTION_BITS
    return np.clip(total, 0, 255, out=total).astype(np.uint8)
