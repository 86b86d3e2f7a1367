"""Let what a mask marks grow."""

from __future__ import annotations

from math import isqrt

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_ROWS_AT_ONCE = 64
"""So that what is computed stays in the processor's cache."""


def dilate(mask: Mask, radius: int) -> Mask:
    """Return which pixels are at most `radius` pixels from a marked one, centre to centre.

    That is the dilation by a disc, exactly: distances are compared squared, in integers. Source:
    J. Serra, "Image Analysis and Mathematical Morphology", 1982. Raises ValueError if the radius
    is negative.
    """
    if radius < 0:
        raise ValueError(f"the radius {radius} is negative")
    across = _distances_across(mask, radius + 1)
    dilated = np.zeros_like(mask)
    height = len(mask)
    # A marked pixel so far above or below may be so far to the left or right.
    reaches = [(down, isqrt(radius**2 - down**2)) for down in range(-radius, radius + 1)]
    for top in range(0, height, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, height)
        for down, reach in reaches:
            first, last = max(top, -down), min(bottom, height - down)
            if first < last:
                dilated[first:last] |= across[first + down : last + down] <= reach
    return dilated


def _distances_across(mask: Mask, most: int) -> npt.NDArray[np.integer]:
    """Return how far the nearest marked pixel of the same row is; `most` if it is not nearer."""
    columns = np.arange(mask.shape[1], dtype=np.int32)
    distances = np.empty(mask.shape, np.min_scalar_type(most))
    for top in range(0, len(mask), _ROWS_AT_ONCE):
        rows = mask[top : top + _ROWS_AT_ONCE]
        before = np.where(rows, columns, -most)
        np.maximum.accumulate(before, axis=1, out=before)
        after = np.where(rows, columns, mask.shape[1] - 1 + most)[:, ::-1]
        after = np.minimum.accumulate(after, axis=1)[:, ::-1]
        nearest = np.minimum(columns - before, after - columns)
        distances[top : top + _ROWS_AT_ONCE] = np.minimum(nearest, most)
    return distances
