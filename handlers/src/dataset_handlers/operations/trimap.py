"""Trimaps: what is surely foreground, what is surely background, and a band between that is not."""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.dilate import dilate

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
"""The values of the trimaps of alphamatting.com."""


def trimap(alpha: Pixels, width: int) -> Pixels:
    """Return the trimap of an alpha, uint8 `[height, width]`.

    Unknown is what has a pixel that is not quite foreground and one that is not quite background
    at most `width` pixels away; with 0 that is where alpha is neither 0 nor 255. So N. Xu et al.,
    "Deep Image Matting", CVPR 2017, 4.2, make them for training: by dilating the true alpha.
    """
    made = np.full(alpha.shape, UNKNOWN, np.uint8)
    made[~dilate(alpha < 255, width)] = FOREGROUND
    made[~dilate(alpha > 0, width)] = BACKGROUND
    return made
