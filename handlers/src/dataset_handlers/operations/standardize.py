"""Per image standardisation: mean 0, deviation 1.

Source: tf.image.per_image_standardization: (v - mean) / max(deviation, 1 / sqrt(n)), over all n
values of all channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels


class Statistics(NamedTuple):
    """What to subtract, and what to divide by afterwards; for values from 0 to 255."""

    mean: float
    deviation: float


def statistics_of(pixels: Pixels) -> Statistics:
    """Return the mean and the deviation, which is never 0; summed in integers."""
    count = pixels.size
    histogram = np.bincount(pixels.reshape(-1), minlength=256).tolist()
    total = sum(value * times for value, times in enumerate(histogram))
    squares = sum(value * value * times for value, times in enumerate(histogram))
    variance = (count * squares - total * total) / (count * count)
    return Statistics(total / count, max(math.sqrt(variance), 1 / math.sqrt(count)))


def standardize(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return the picture standardised, float32, same shape."""
    mean, deviation = statistics_of(pixels)
    table = ((np.arange(256) - mean) / deviation).astype(np.float32)
    return table[pixels]
