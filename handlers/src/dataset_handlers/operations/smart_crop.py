"""The window that holds the most of a saliency map, found exactly.

The sum over a window is made of differences in an integral image, so that every place is looked at
for what one costs. Sources: F. Crow, "Summed-Area Tables for Texture Mapping", SIGGRAPH 1984;
P. Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR
2001.

It is made some rows at a time: the whole of it takes more memory than the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.crop import Window
from dataset_handlers.operations.sizing import inner_size

_Sums = np.ndarray[Any, np.dtype[np.int64]]

_PIXELS_AT_ONCE = 2**18
_FAR = np.iinfo(np.int64).max


def window_size(size: Size, ratio: Size, share: float = 1.0) -> Size:
    """Return the largest window of proportions `ratio` in a picture, its sides times `share`.

    In whole pixels, at least one: proportions are as near as that allows.
    """
    height, width = inner_size(ratio, size, "fit")
    return max(1, round(height * share)), max(1, round(width * share))


def smart_window(saliency: Pixels, size: Size) -> Window:
    """Return the window of `size` with the largest sum of a map, uint8 `[height, width]`.

    Of several, the one whose centre is nearest to the map's; of those the uppermost, then the
    leftmost. Raises ValueError if the window is larger than the map.
    """
    room_down, room_right = saliency.shape[0] - size[0], saliency.shape[1] - size[1]
    if min(room_down, room_right) < 0:
        raise ValueError(f"a window of {size} does not fit into {saliency.shape}")
    down, right = _distances(room_down), _distances(room_right)
    most, nearest, place = -1, 0, (0, 0)
    for top, sums in _window_sums(saliency, size):
        largest = int(sums.max())
        if largest < most:
            continue
        distances = down[top : top + len(sums), np.newaxis] + right
        distances[sums < largest] = _FAR
        row, column = divmod(int(distances.argmin()), len(right))
        distance = int(distances[row, column])
        if largest > most or distance < nearest:
            most, nearest, place = largest, distance, (top + row, column)
    return Window(*place, *size)


def _distances(room: int) -> npt.NDArray[np.int64]:
    """Return for each place the square of twice the distance between the two centres."""
    distances: npt.NDArray[np.int64] = (2 * np.arange(room + 1, dtype=np.int64) - room) ** 2
    return distances


def _window_sums(saliency: Pixels, size: Size) -> Iterator[tuple[int, _Sums]]:
    """Yield the sums of all windows, `[rows, columns]` of places, and each time the first's top."""
    height, width = size
    places = len(saliency) - height + 1
    rows = max(1, _PIXELS_AT_ONCE // saliency.shape[1])
    sums = _row_sums(saliency[:height].sum(axis=0, dtype=np.int64)[np.newaxis], width)
    yield 0, sums
    for top in range(1, places, rows):
        # One place further down a row comes in below, and the one above goes.
        end = min(top + rows, places)
        change = saliency[top + height - 1 : end + height - 1].astype(np.int64)
        change -= saliency[top - 1 : end - 1]
        last, sums = sums[-1], _row_sums(change, width)
        sums[0] += last
        np.cumsum(sums, axis=0, out=sums)
        yield top, sums


def _row_sums(rows: _Sums, width: int) -> _Sums:
    """Return the sums of `width` neighbours in a row."""
    integral = np.zeros((rows.shape[0], rows.shape[1] + 1), np.int64)
    np.cumsum(rows, axis=1, out=integral[:, 1:])
    return integral[:, width:] - integral[:, :-width]
