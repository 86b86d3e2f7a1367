"""Masks of objects, brought to where the picture's pixels went."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dataset_handlers.annotations.segmentation import Rle, pixels_of
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.geometry import Geometry
from dataset_handlers.operations.resize import resize
from dataset_handlers.operations.rotate import inscribed_scale
from dataset_handlers.operations.sizing import Sizing


class MovedMask(NamedTuple):
    """What a record shows of an object: 0 and 255."""

    pixels: Pixels
    visible_share: float
    """Of what there would be to see without edges; 0 if nothing is left."""


def moved_mask(mask: Rle, sizing: Sizing, geometry: Geometry) -> MovedMask:
    """Return the mask of an object after the sizing and the geometry of its picture."""
    resized = resize(pixels_of(mask), sizing.inner, nearest=True)
    whole = np.count_nonzero(resized)
    placed = Sizing(sizing.inner, sizing.inner, sizing.size).apply(resized, mask=True)
    moved = geometry.apply(placed, mask=True)
    seen = np.count_nonzero(moved)
    if not seen:
        return MovedMask(moved, 0.0)
    # A rotation enlarges; then pixels are taken anew, so that the share is right but for rounding.
    enlarged = whole / inscribed_scale(geometry.size, geometry.degrees) ** 2
    return MovedMask(moved, min(1.0, seen / enlarged))
