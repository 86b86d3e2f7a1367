"""The order of a picture's channels.

Red first is that of the files: ITU-T T.871 (JFIF), ISO/IEC 15948 (PNG). Blue first is that of
OpenCV (`cv2.imread`), and so of networks trained with Caffe: Y. Jia et al., "Caffe: Convolutional
Architecture for Fast Feature Embedding", ACM Multimedia 2014, whose tools read with OpenCV.
"""

from __future__ import annotations

from typing import Literal

import cv2

from dataset_handlers.operations.arrays import Pixels

ColorOrder = Literal["rgb", "bgr"]


def in_order(pixels: Pixels, order: ColorOrder) -> Pixels:
    """Return pixels that, once encoded and decoded again, have their channels in this order.

    Files know red, green, blue alone: for "bgr" red and blue change places in them. That is the
    order that networks trained with Caffe or OpenCV expect. Grey has none.
    """
    if order == "rgb" or pixels.ndim == 2:
        return pixels
    exchanged: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return exchanged
