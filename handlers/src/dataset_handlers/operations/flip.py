"""Exchange left and right."""

from __future__ import annotations

import cv2

from dataset_handlers.operations.arrays import Pixels


def flip_horizontally(pixels: Pixels) -> Pixels:
    """Return the mirror image, as from a mirror at its side: column c becomes width - 1 - c."""
    flipped: Pixels = cv2.flip(pixels, 1)
    return flipped
