"""How light a colour is: luma, Y' = 0.299 R + 0.587 G + 0.114 B.

Source: ITU-R BT.601-7, 2.5.1. Blue comes first, as in all pictures here.
"""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Pixels

WEIGHTS = (114, 587, 299)
"""Of blue, green and red, in thousandths."""


def mean_luma(pixels: Pixels) -> float:
    """Return the mean luma of a picture, or the mean of one with one channel."""
    if pixels.ndim == 2:
        total: int = pixels.sum(dtype=np.int64).item()
        return total / pixels.size
    sums: list[int] = pixels.sum(axis=(0, 1), dtype=np.int64).tolist()
    weighted: int = sum(weight * total for weight, total in zip(WEIGHTS, sums, strict=True))
    return weighted / (1000 * (pixels.size // 3))
