"""Put bars around a picture.

Padding by a constant, the picture in the middle. Source: R. C. Gonzalez and R. E. Woods, "Digital
Image Processing", 4th edition 2018, 3.4, zero padding; where the odd pixel goes is as in
tf.image.resize_with_crop_or_pad.
"""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Pixels, Size


def pad(pixels: Pixels, size: Size, value: int = 0) -> Pixels:
    """Return the picture in the middle of one of `size`, the rest of it `value`.

    An odd pixel goes to the bottom and right. Raises ValueError if the picture is larger.
    """
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    if height > size[0] or width > size[1]:
        raise ValueError(f"a picture of {(height, width)} can't be padded to {size}")
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    padded = np.full((*size, *pixels.shape[2:]), value, pixels.dtype)
    padded[top : top + height, left : left + width] = pixels
    return padded
