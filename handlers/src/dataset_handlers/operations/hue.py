"""Turn all colours round the colour circle."""

from __future__ import annotations

import math

import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.color_matrix import mix_channels

# From (red, green, blue) to luma and two differences. Source: NTSC's Y'IQ, SMPTE 170M-2004.
_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
_DIGITS = 9


def turn_hue(pixels: Pixels, degrees: float) -> Pixels:
    """Return the picture with its chroma turned in Y'IQ's plane; luma and grey stay.

    A picture with one channel comes back as it is. Source: P. Haeberli, "Matrix Operations for
    Image Processing", 1993.
    """
    if pixels.ndim == 2:
        return pixels
    cosine, sine = (round(f(math.radians(degrees)), _DIGITS) for f in (math.cos, math.sin))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix = np.linalg.inv(_YIQ) @ turn @ _YIQ
    return mix_channels(pixels, np.round(matrix, _DIGITS)[::-1, ::-1])
