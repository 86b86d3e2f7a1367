"""Leave the traces of JPEG compression in a picture."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.encode import jpeg_file


def recompress(pixels: Pixels, quality: int, *, spare: bool = False) -> Pixels:
    """Return the picture as it is after it was a JPEG file of `quality` (libjpeg's, 1 to 100).

    `spare`: the pixels are not needed any more, and take the result. Source: D. Hendrycks and T.
    Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
    ICLR 2019: the corruption "JPEG".
    """
    flags = cv2.IMREAD_GRAYSCALE if pixels.ndim == 2 else cv2.IMREAD_COLOR_BGR
    decoded = cv2.imdecode(jpeg_file(pixels, quality), flags)
    assert decoded is not None, "it was encoded just now"
    if not spare:
        return decoded
    np.copyto(pixels, decoded)  # so that one of the two goes at once
    return pixels
