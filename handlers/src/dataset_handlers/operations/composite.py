"""Put a foreground on a background: C = aF + (1 - a)B.

Source: T. Porter and T. Duff, "Compositing Digital Images", SIGGRAPH 1984: F over an opaque B, with
colours that alpha was not multiplied into. On sRGB values as they are in the files, not on light:
so the matting data sets were made, and so networks are tested (C. Rhemann et al., "A Perceptually
Motivated Online Benchmark for Image Matting", CVPR 2009; N. Xu et al., "Deep Image Matting", CVPR
2017).
"""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Pixels

_ROWS_AT_ONCE = 32
"""So that what is computed stays in the processor's cache."""


def composite(
    foreground: Pixels, alpha: Pixels, background: Pixels, *, spare: bool = False
) -> Pixels:
    """Return the foreground on the background, each value rounded to the nearest: none is halfway.

    `alpha`: `[height, width]`, 255 is 1; the others `[height, width, 3]`. `spare`: the background
    is not needed any more, and takes the result. Raises ValueError if the sizes differ.
    """
    if not foreground.shape[:2] == alpha.shape == background.shape[:2]:
        sizes = foreground.shape[:2], alpha.shape, background.shape[:2]
        raise ValueError(f"foreground, alpha and background are {sizes}")
    result = background if spare else np.empty_like(background)
    for top in range(0, len(alpha), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        share = alpha[rows, :, np.newaxis].astype(np.uint16)
        total = foreground[rows] * share
        total += background[rows] * (255 - share)
        result[rows] = _by_255(total)
    return result


def _by_255(total: Pixels) -> Pixels:
    """Return total / 255 rounded, for uint16 up to 255².

    Source: J. Blinn, "Three Wrongs Make a Right", IEEE Computer Graphics and Applications 15(6),
    1995.
    """
    total += 128
    total += total >> 8
    total >>= 8
    return total
