"""Resize pixels of 16 bits, in integers: OpenCV does so in floating point."""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Pixels, Size

_ROWS_AT_ONCE = 64


def resize_sixteen(pixels: Pixels, size: Size) -> Pixels:
    """Return uint16 pixels in `size`, an axis after the other, each result rounded.

    An axis that shrinks takes the mean of the area that a pixel covers, one that grows is
    interpolated linearly, between pixels' centres. Source: W. Pratt, "Digital Image Processing",
    4th ed. 2007, 4.3.
    """
    return _columns(_rows(pixels, size[0]), size[1])


def _columns(pixels: Pixels, count: int) -> Pixels:
    if pixels.shape[1] == count:
        return pixels
    turned = _rows(np.ascontiguousarray(pixels.swapaxes(0, 1)), count)
    return np.ascontiguousarray(turned.swapaxes(0, 1))


def _rows(pixels: Pixels, count: int) -> Pixels:
    if len(pixels) == count:
        return pixels
    resized = np.empty((count, *pixels.shape[1:]), np.uint16)
    take = _shrunk if count < len(pixels) else _grown
    for top in range(0, count, _ROWS_AT_ONCE):
        take(pixels, resized, range(top, min(top + _ROWS_AT_ONCE, count)))
    return resized


def _shrunk(pixels: Pixels, resized: Pixels, rows: range) -> None:
    """Of `given` rows each becomes `count` parts; `given` parts make a row of the result."""
    given, count = len(pixels), len(resized)
    for row in rows:
        begin, end = row * given, (row + 1) * given
        first, last = begin // count, -(-end // count)
        edges = np.arange(first, last + 1) * count
        within = np.clip(edges, begin, end)
        weights = within[1:] - within[:-1]
        total = np.einsum("r,r...->...", weights, pixels[first:last].astype(np.int64))
        resized[row] = (total + given // 2) // given


def _grown(pixels: Pixels, resized: Pixels, rows: range) -> None:
    given, count = len(pixels), len(resized)
    places = (2 * np.arange(rows.start, rows.stop) + 1) * given - count
    above = places // (2 * count)
    shape = (-1, *[1] * (pixels.ndim - 1))
    share = (places - above * 2 * count).reshape(shape)
    upper = pixels[np.clip(above, 0, given - 1)].astype(np.int64)
    lower = pixels[np.clip(above + 1, 0, given - 1)].astype(np.int64)
    mixed = upper * (2 * count - share) + lower * share
    resized[rows.start : rows.stop] = (mixed + count) // (2 * count)
