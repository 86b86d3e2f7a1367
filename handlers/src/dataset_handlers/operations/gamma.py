"""Gamma: lighter or darker middle tones; black and white stay."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.tables import as_table


def change_gamma(pixels: Pixels, gamma: float, *, spare: bool = False) -> Pixels:
    """Return 255 (v / 255)^gamma of every value; below 1 is lighter. Raises ValueError up to 0.

    `spare`: the pixels are not needed any more, and take the result. Source: C. Poynton, "Digital
    Video and HD: Algorithms and Interfaces", 2nd ed. 2012, ch. 27; tf.image.adjust_gamma.
    """
    if gamma <= 0:
        raise ValueError(f"gamma {gamma} is not positive")
    table = as_table(255 * (np.arange(256) / 255) ** gamma)
    changed: Pixels = cv2.LUT(pixels, table, dst=pixels if spare else None)
    return changed
