"""Expose longer or shorter, as a camera does."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.tables import as_table


def expose(pixels: Pixels, stops: float, *, spare: bool = False) -> Pixels:
    """Return the picture with `stops` more light: each stop is twice as much; cut off at white.

    Light is what sRGB stands for: v is decoded by its transfer function, multiplied by 2^stops and
    encoded again. `spare`: the pixels are not needed any more, and take the result. Source:
    IEC 61966-2-1:1999, 5.2.
    """
    value = np.arange(256) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = np.minimum(light * 2.0**stops, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    exposed: Pixels = cv2.LUT(pixels, as_table(encoded * 255), dst=pixels if spare else None)
    return exposed
