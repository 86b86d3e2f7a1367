"""Turn all colours round the colour circle."""

from __future__ import annotations

import math

import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.color_matrix import mix_channels
from dataset_handlers.operations.luma import WEIGHTS

_DIGITS = 9


def turn_hue(pixels: Pixels, degrees: float, *, spare: bool = False) -> Pixels:
    """Return the picture with its chroma turned in Y'IQ's plane; luma and grey stay.

    I = 0.74 (R - Y') - 0.27 (B - Y') and Q = 0.48 (R - Y') + 0.41 (B - Y'), of which the two are
    coordinates. Red turns to yellow, then to green. A picture with one channel comes back as it is.
    `spare`: the pixels are not needed any more, and take the result. Source: P. Haeberli, "Matrix
    Operations for Image Processing", 1993; Y'IQ: 47 CFR 73.682 (a) (20), 1953.
    """
    if pixels.ndim == 2:
        return pixels
    blue, _, red = np.eye(3)
    luma = np.divide(WEIGHTS, 1000)
    yiq = np.stack(
        [
            luma,
            0.74 * (red - luma) - 0.27 * (blue - luma),
            0.48 * (red - luma) + 0.41 * (blue - luma),
        ]
    )
    cosine, sine = (round(f(math.radians(degrees)), _DIGITS) for f in (math.cos, math.sin))
    turn = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    # Rounded: what inverts and multiplies matrices differs between processors, far behind that.
    matrix = np.round(np.linalg.inv(yiq) @ turn @ yiq, _DIGITS)
    return mix_channels(pixels, matrix, spare=spare)
