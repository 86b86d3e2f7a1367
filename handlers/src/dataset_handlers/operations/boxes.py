"""Boxes around objects, float64 `[n, 4]`: top, left, bottom, right, in pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Boxes, Points, Size

_DIGITS = 7
"""float32 has no more."""
_CORNERS = ((0, 1), (0, 3), (2, 1), (2, 3))


def moved_boxes(boxes: Boxes, move: Callable[[Points], Points]) -> Boxes:
    """Return the smallest upright boxes around boxes whose corners were moved."""
    corners = np.stack([move(boxes[:, corner]) for corner in _CORNERS], axis=1)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def clipped_boxes(boxes: Boxes, size: Size) -> Boxes:
    """Return what of the boxes lies within a picture; of those outside nothing, at its edge."""
    clipped: Boxes = np.clip(boxes, 0, [*size, *size])
    return clipped


def areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    """Return height times width of each."""
    product: npt.NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return product


def as_shares(boxes: Boxes, size: Size) -> Boxes:
    """Return boxes within a picture with its height and width as 1, as records hold them.

    Rounded, since processors differ in the last digit of what rotation gives.
    """
    return np.round(boxes / [*size, *size], _DIGITS)
