"""Change the contrast."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.luma import mean_luma
from dataset_handlers.operations.tables import as_table


def change_contrast(pixels: Pixels, factor: float, *, spare: bool = False) -> Pixels:
    """Return m + factor (v - m) of every value, where m is the picture's mean luma.

    `spare`: the pixels are not needed any more, and take the result. Raises ValueError if the
    factor is negative. Source: torchvision's `adjust_contrast`.
    """
    if factor < 0:
        raise ValueError(f"the factor {factor} is negative")
    mean = mean_luma(pixels)
    table = as_table(mean + factor * (np.arange(256) - mean))
    changed: Pixels = cv2.LUT(pixels, table, dst=pixels if spare else None)
    return changed
