"""Distances between pixels, exactly: in integers, squared.

The distance transform of P. Felzenszwalb and D. Huttenlocher, "Distance Transforms of Sampled
Functions", Theory of Computing 2012, section 3, for short distances: first along each column, then
along the rows. OpenCV's is in floating point.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels, Size

FARTHEST = 181
"""Up to this, sums of two squares have 16 bits."""

_ROWS_AT_ONCE = 64
_LARGEST = 255

Squares = npt.NDArray[np.uint16]


def squared_distances(seeds: Pixels, reach: int) -> Squares:
    """Return each pixel's squared distance to the nearest that is not 0, at most `reach`².

    `reach` is from 0 to `FARTHEST`.
    """
    if not 0 <= reach <= FARTHEST:
        raise ValueError(f"a reach of {reach} is not from 0 to {FARTHEST}")
    down = _in_columns(seeds.astype(np.bool_, copy=False), reach)
    result = np.empty(seeds.shape, np.uint16)
    for top in range(0, len(seeds), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        result[rows] = _in_rows(down[rows].astype(np.uint16) ** 2, reach)
    return result


def distance_map(points: npt.NDArray[np.int64], size: Size) -> Pixels:
    """Return each pixel's distance to the nearest of `points` (row, column), rounded.

    uint8 `[height, width]`, cut at 255, which is also what it is without any point.
    """
    height, width = size
    nearest = np.full(size, _LARGEST, np.uint8)
    if not len(points):
        return nearest
    right = _squared_offsets(np.arange(width), points[:, 1:])
    table = _rounded_roots()
    for top in range(0, height, _ROWS_AT_ONCE):
        rows = np.arange(top, min(top + _ROWS_AT_ONCE, height))
        down = _squared_offsets(rows, points[:, :1])
        squares = np.full((len(rows), width), _LARGEST**2, np.int32)
        for one_down, one_right in zip(down, right, strict=True):
            np.minimum(squares, one_down[:, np.newaxis] + one_right, out=squares)
        np.take(table, squares, out=nearest[rows[0] : rows[-1] + 1])
    return nearest


def _in_columns(seeds: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.uint8]:
    """Return how many pixels up or down the nearest seed is, at most `reach`."""
    far = np.where(seeds, np.uint8(0), np.uint8(reach))
    for row in range(1, len(far)):
        np.minimum(far[row], far[row - 1] + np.uint8(1), out=far[row])
    for row in range(len(far) - 2, -1, -1):
        np.minimum(far[row], far[row + 1] + np.uint8(1), out=far[row])
    return far


def _in_rows(down: Squares, reach: int) -> Squares:
    nearest = down.copy()
    for right in range(1, min(reach, down.shape[1])):
        beside = down + np.uint16(right * right)
        np.minimum(nearest[:, right:], beside[:, :-right], out=nearest[:, right:])
        np.minimum(nearest[:, :-right], beside[:, right:], out=nearest[:, :-right])
    return nearest


def _squared_offsets(
    places: npt.NDArray[np.int64], points: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Return the squares of how far places are from points along one side, cut at 255²."""
    offsets = np.minimum(np.abs(places - points), _LARGEST).astype(np.int32)
    squares: npt.NDArray[np.int32] = offsets**2
    return squares


@cache
def _rounded_roots() -> npt.NDArray[np.uint8]:
    """Return the root of every number up to 255², rounded: none of them ends in a half."""
    # IEEE 754 gives roots exactly rounded on every processor.
    return np.rint(np.sqrt(np.arange(_LARGEST**2 + 1))).astype(np.uint8)
