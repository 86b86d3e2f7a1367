"""Give what surrounds an object the object's colours.

Where alpha is 0 a foreground may have any colour: of cut-outs it is black or white as a rule. A
mean of pixels, as resizing and rotating take it, mixes that into the object's edge, which shows as
a rim in composites. T. Porter and T. Duff, "Compositing Digital Images", SIGGRAPH 1984, section 3,
multiply colours by alpha against that; here they stay as they are, not to lose their digits.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels

_AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
_SQUARE = np.ones((3, 3), np.uint8)


def surround(foreground: Pixels, alpha: Pixels, radius: int, *, spare: bool = False) -> Pixels:
    """Return the foreground with the `radius` nearest pixels around the object in its colours.

    The object is where alpha is not 0; nothing changes there, nor farther away. From it outwards,
    a ring of pixels after the other, each takes the mean of those of its eight neighbours that have
    a colour by then. `spare`: the foreground is not needed any more, and takes the result.
    """
    result = foreground if spare else foreground.copy()
    known: Pixels = (alpha > 0).view(np.uint8)
    for _ in range(radius):
        grown = cv2.dilate(known, _SQUARE)
        ring = np.nonzero(grown > known)
        if not len(ring[0]):
            break
        result[ring] = _means_around(result, known, ring)
        known = grown
    return result


def _means_around(
    pixels: Pixels, known: Pixels, places: tuple[npt.NDArray[np.intp], ...]
) -> npt.NDArray[np.int32]:
    """Return the mean of the known neighbours of each place, rounded; each has at least one."""
    rows, columns = places
    height, width = known.shape
    total = np.zeros((len(rows), 3), np.int32)
    count = np.zeros((len(rows), 1), np.int32)
    for down, right in _AROUND:
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = row.clip(0, height - 1), column.clip(0, width - 1)
        weight = (inside & (known[row, column] > 0))[:, np.newaxis]
        total += pixels[row, column] * weight
        count += weight
    return (2 * total + count) // (2 * count)
