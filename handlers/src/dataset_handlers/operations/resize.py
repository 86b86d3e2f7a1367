"""Resize to a height and width; proportions are not kept."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.resize_sixteen import resize_sixteen


def resize(pixels: Pixels, size: Size, *, nearest: bool = False) -> Pixels:
    """Return the image in `size`.

    An axis that shrinks takes the mean of the area that a pixel covers, one that grows is
    interpolated linearly: cubic overshoots at edges, and differs between processors in OpenCV 5.
    `nearest`, for masks, makes no values that were not there, and takes the pixel whose centre is
    nearest (OpenCV's INTER_NEAREST would take the one above and left). The centre of pixel i of n
    lies at (i + 1/2) / n. Source: W. Pratt, "Digital Image Processing", 4th ed. 2007, 4.3;
    OpenCV's INTER_AREA.
    """
    if nearest:
        return _resized(pixels, size, cv2.INTER_NEAREST_EXACT)
    if pixels.dtype == np.uint16:
        return resize_sixteen(pixels, size)
    height, width = pixels.shape[:2]
    smaller = (min(size[0], height), min(size[1], width))
    return _resized(_resized(pixels, smaller, cv2.INTER_AREA), size, cv2.INTER_LINEAR)


def _resized(pixels: Pixels, size: Size, interpolation: int) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    resized: Pixels = cv2.resize(pixels, (size[1], size[0]), interpolation=interpolation)
    return resized
