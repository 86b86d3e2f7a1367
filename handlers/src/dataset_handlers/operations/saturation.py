"""Make colours stronger or paler."""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.color_matrix import LARGEST_WEIGHT, mix_channels
from dataset_handlers.operations.luma import WEIGHTS


def saturate(pixels: Pixels, factor: float, *, spare: bool = False) -> Pixels:
    """Return Y' + factor (v - Y') of each channel, where Y' is the pixel's luma; grey stays grey.

    0 leaves only grey. A picture with one channel comes back as it is. `spare`: the pixels are not
    needed any more, and take the result. Raises ValueError if the factor is not from 0 to 32.
    Source: P. Haeberli, "Matrix Operations for Image Processing", 1993; torchvision's
    `adjust_saturation`.
    """
    if not 0 <= factor <= LARGEST_WEIGHT:
        raise ValueError(f"the factor {factor} is not from 0 to {LARGEST_WEIGHT}")
    if pixels.ndim == 2:
        return pixels
    luma = np.tile(np.divide(WEIGHTS, 1000), (3, 1))
    return mix_channels(pixels, (1 - factor) * luma + factor * np.eye(3), spare=spare)
