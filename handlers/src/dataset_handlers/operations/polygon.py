"""Which pixels a polygon covers, as COCO defines it.

Source: `rleFrPoly` in maskApi.c of https://github.com/cocodataset/cocoapi (P. Dollár and T.-Y. Lin,
2015), whose masks these are, pixel for pixel. Computed here, since its C code adds products in
floating point, which compilers for some processors (ARM) fuse, and others (x86-64) do not: an edge
that passes through the middle of a step may fall on either side. NumPy rounds after every operation
on all of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Size

_STEPS = 5
"""Per pixel, along the edges."""
_CENTRE = 2
"""The step in the middle of a pixel."""

_Integers = npt.NDArray[np.int64]


def polygon_runs(corners: npt.NDArray[np.float64], size: Size) -> _Integers:
    """Return the lengths of runs outside, inside, outside …, column by column.

    `corners`: `[n, 2]`, right and down in pixels from the upper left corner, n at least 1; they may
    lie outside of the picture of `size`. The runs add up to height times width.
    """
    height, width = size
    right, down = _boundary(corners)
    # Where the boundary passes the middle of a column, pixels below change sides.
    steps = np.flatnonzero(right[1:] != right[:-1]) + 1
    column = np.where(right[steps] < right[steps - 1], right[steps], right[steps] - 1)
    row = np.minimum(down[steps], down[steps - 1])
    middle = column % _STEPS == _CENTRE
    column, row = column[middle] // _STEPS, (row[middle] + _CENTRE) // _STEPS
    inside = (column >= 0) & (column < width)
    places = column[inside] * height + np.clip(row[inside], 0, height)
    changes, times = np.unique(places, return_counts=True)
    changes = changes[(times % 2 == 1) & (changes < height * width)]
    runs: _Integers = np.diff(changes, prepend=0, append=height * width)
    return runs


def _boundary(corners: npt.NDArray[np.float64]) -> tuple[_Integers, _Integers]:
    """Return the points along all edges, a step apart, in steps right and down."""
    start = np.trunc(_STEPS * corners + 0.5).astype(np.int64)
    end = np.roll(start, -1, axis=0)
    extent = np.abs(end - start)
    flat = extent[:, 0] >= extent[:, 1]  # more to the right or left than up or down
    length = extent.max(axis=1)
    main, other = np.where(flat, 0, 1), np.where(flat, 1, 0)
    edge = np.arange(len(start))
    # Edges go right, or down, so that both polygons at an edge have the same points there.
    turned = start[edge, main] > end[edge, main]
    low = np.where(turned[:, np.newaxis], end, start)
    high = np.where(turned[:, np.newaxis], start, end)
    slope = (high[edge, other] - low[edge, other]) / np.maximum(length, 1)

    points = length + 1
    of = np.repeat(edge, points)
    step = np.arange(len(of)) - np.repeat(np.cumsum(points) - points, points)
    step = np.where(turned[of], length[of] - step, step)
    along = step + low[of, main[of]]
    across = np.trunc(low[of, other[of]] + slope[of] * step + 0.5).astype(np.int64)
    return np.where(flat[of], along, across), np.where(flat[of], across, along)
