"""Blur."""

from __future__ import annotations

import cv2

from dataset_handlers.operations.arrays import Pixels


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Return the picture convolved with a Gaussian of `sigma` pixels; edges are mirrored.

    Raises ValueError if sigma is negative. 0 gives the picture as it is. Source: R. Gonzalez and
    R. Woods, "Digital Image Processing", 4th ed. 2018, 3.5.
    """
    if sigma < 0:
        raise ValueError(f"sigma {sigma} is negative")
    if not sigma:
        return pixels
    blurred: Pixels = cv2.GaussianBlur(
        pixels,
        (0, 0),
        sigma,
        borderType=cv2.BORDER_REFLECT_101,
        # In fixed point: the same on every processor.
        hint=cv2.ALGO_HINT_ACCURATE,
    )
    return blurred
