"""The types of images."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[Any]
"""uint8 `[height, width, 3]` or `[height, width]`, grey or a mask; uint16 where that is said.

The three are blue, green, red, as OpenCV has them: turning them round before the encoder turns them
back costs as much as half a decoding.

OpenCV's own types are no narrower than this."""

Size: TypeAlias = tuple[int, int]
"""`(height, width)` in pixels."""

Points: TypeAlias = npt.NDArray[np.float64]
"""`[n, 2]`: down and right, in pixels from the upper left corner; the first pixel's centre is
(0.5, 0.5)."""

Boxes: TypeAlias = npt.NDArray[np.float64]
"""`[n, 4]`: top, left, bottom, right, as points have them."""
