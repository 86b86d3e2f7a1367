"""The box around what a mask shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dataset_handlers.operations.arrays import Pixels

LEAST_SHOWN = 128
"""From here on a soft mask says rather yes than no; what its file has of stray shades is below."""


class PixelBox(NamedTuple):
    """In whole pixels; bottom and right are the first that are outside."""

    top: int
    left: int
    bottom: int
    right: int


def mask_box(mask: Pixels) -> PixelBox | None:
    """Return the smallest box around the pixels of at least 128; None where there are none."""
    shown = mask >= LEAST_SHOWN
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(rows):
        return None
    return PixelBox(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
