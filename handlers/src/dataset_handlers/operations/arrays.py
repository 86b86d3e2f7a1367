"""The types of images."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[Any]
"""uint8 `[height, width, 3]`, RGB, or `[height, width]`, grey or a mask.

OpenCV's own types are no narrower than this."""

Size: TypeAlias = tuple[int, int]
"""`(height, width)` in pixels."""
