"""Mix the channels of a picture by a matrix, in integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels

_FRACTION_BITS = 16
_ROWS_AT_ONCE = 32
"""So that what is computed stays in the processor's cache."""


def mix_channels(pixels: Pixels, matrix: npt.NDArray[np.float64]) -> Pixels:
    """Return `matrix` times each pixel's (blue, green, red), rounded, from 0 to 255.

    The matrix is `[3, 3]`; its values are rounded to 1/65536, at most 32 of either sign.
    """
    weights = np.rint(matrix * (1 << _FRACTION_BITS)).astype(np.int32)
    mixed = np.empty_like(pixels)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = pixels[top : top + _ROWS_AT_ONCE].astype(np.int32)
        for channel, row in enumerate(weights.tolist()):
            total = rows[..., 0] * row[0]
            total += rows[..., 1] * row[1]
            total += rows[..., 2] * row[2]
            total += 1 << (_FRACTION_BITS - 1)
            total >>= _FRACTION_BITS
            np.clip(total, 0, 255, out=total)
            mixed[top : top + _ROWS_AT_ONCE, :, channel] = total
    return mixed
