"""Per image standardisation: mean 0, deviation 1.

Source: tf.image.per_image_standardization: (v - mean) / max(deviation, 1 / sqrt(n)), over all n
values of all channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels

_SQUARES = np.arange(256, dtype=np.int32) ** 2
_ROWS_AT_ONCE = 64
"""So that what is computed stays in the processor's cache."""


class Statistics(NamedTuple):
    """What to subtract, and what to divide by afterwards; for values from 0 to 255."""

    mean: float
    deviation: float


def statistics_of(pixels: Pixels) -> Statistics:
    """Return the mean and the deviation, which is never 0.

    Both sums are whole numbers below 2^53, so that no rounding depends on the order of adding.
    """
    count = pixels.size
    total = squares = 0
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = np.ascontiguousarray(pixels[top : top + _ROWS_AT_ONCE])
        total += int(sum(cv2.sumElems(rows)))
        squares += int(sum(cv2.sumElems(cv2.LUT(rows, _SQUARES))))
    variance = (count * squares - total * total) / (count * count)
    return Statistics(total / count, max(math.sqrt(variance), 1 / math.sqrt(count)))


def standardize(pixels: Pixels) -> Pixels:
    """Return the picture standardised, float32, same shape; contiguous, whatever was given."""
    mean, deviation = statistics_of(pixels)
    table = ((np.arange(256) - mean) / deviation).astype(np.float32)
    standardized: Pixels = np.empty(pixels.shape, np.float32)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = np.ascontiguousarray(pixels[top : top + _ROWS_AT_ONCE])
        standardized[top : top + _ROWS_AT_ONCE] = cv2.LUT(rows, table).reshape(rows.shape)
    return standardized
