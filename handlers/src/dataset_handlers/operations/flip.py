"""Exchange left and right.

The reflection in the vertical axis: (x, y) becomes (width - x, y). Source: R. C. Gonzalez and R. E.
Woods, "Digital Image Processing", 4th edition 2018, 2.6, geometric transformations.
"""

from __future__ import annotations

import cv2

from dataset_handlers.operations.arrays import Pixels


def flip_horizontally(pixels: Pixels) -> Pixels:
    """Return the mirror image, as from a mirror at its side: column c becomes width - 1 - c."""
    flipped: Pixels = cv2.flip(pixels, 1)
    return flipped
