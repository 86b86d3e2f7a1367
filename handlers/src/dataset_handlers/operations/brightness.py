"""Change the brightness."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels


def brighten(pixels: Pixels, factor: float, *, spare: bool = False) -> Pixels:
    """Return factor v of every value, rounded, at most 255. Raises ValueError if negative.

    `spare`: the pixels are not needed any more, and take the result. Source: torchvision's
    `adjust_brightness`.
    """
    if factor < 0:
        raise ValueError(f"the factor {factor} is negative")
    table = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)
    brightened: Pixels = cv2.LUT(pixels, table, dst=pixels if spare else None)
    return brightened
