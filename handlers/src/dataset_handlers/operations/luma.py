"""How light a colour is: luma, Y' = 0.299 R + 0.587 G + 0.114 B.

Source: ITU-R BT.601-7, 2.5.1. Blue comes first, as in all pictures here.
"""

from __future__ import annotations

import cv2

from dataset_handlers.operations.arrays import Pixels

WEIGHTS = (114, 587, 299)
"""Of blue, green and red, in thousandths."""


def mean_luma(pixels: Pixels) -> float:
    """Return the mean luma of a picture, or the mean of one with one channel."""
    # Of OpenCV's, which are whole numbers: no rounding depends on the order of adding.
    sums = [int(total) for total in cv2.sumElems(pixels)]
    if pixels.ndim == 2:
        return sums[0] / pixels.size
    weighted = sum(weight * total for weight, total in zip(WEIGHTS, sums, strict=False))
    return weighted / (1000 * (pixels.size // 3))
