"""All that moves pixels, chosen once and done alike to a picture and to what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dataset_handlers.operations.arrays import Pixels, Points, Size
from dataset_handlers.operations.crop import (
    Window,
    centred_window,
    random_centred_window,
    random_window,
)
from dataset_handlers.operations.flip import flip_horizontally
from dataset_handlers.operations.rotate import Positions, rotated_points, rotated_positions

CropPlace = Literal["centre", "random_centred", "random"]

_KEPT_PIXELS = 2**21
"""Up to this, positions are computed once for a picture and its mask, and held for that."""
_ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Geometry:
    """Rotate an image of `size`, cut out `window`, flip. Only pixels of the window are computed."""

    size: Size
    window: Window
    degrees: float = 0.0
    flipped: bool = False

    def apply(self, pixels: Pixels, *, mask: bool = False) -> Pixels:
        """Return the image after it; a mask gets no values that it did not have.

        Without rotation and flip this is a view. Raises ValueError for an image of another size.
        """
        if pixels.shape[:2] != self.size:
            raise ValueError(f"an image of {pixels.shape[:2]}, the geometry is for {self.size}")
        if not self.degrees:
            pixels = self.window.cut(pixels)
            return flip_horizontally(pixels) if self.flipped else pixels
        if self.window.height * self.window.width > _KEPT_PIXELS:
            return self._in_bands(pixels, mask)
        pixels = self._positions.take(pixels, nearest=mask)
        return flip_horizontally(pixels) if self.flipped else pixels

    @property
    def result_size(self) -> Size:
        """Height and width afterwards."""
        return self.window.height, self.window.width

    def move(self, points: Points) -> Points:
        """Return where points of the image lie afterwards; they may lie outside of it."""
        if self.degrees:
            points = rotated_points(self.size, self.degrees, points)
        moved: Points = points - [self.window.top, self.window.left]
        if self.flipped:
            moved[:, 1] = self.window.width - moved[:, 1]
        return moved

    def _in_bands(self, pixels: Pixels, mask: bool) -> Pixels:
        """Rotate and flip some rows at a time: positions take twice the memory of a picture."""
        window = self.window
        result = np.empty((window.height, window.width, *pixels.shape[2:]), pixels.dtype)
        for top in range(0, window.height, _ROWS_AT_ONCE):
            rows = result[top : top + _ROWS_AT_ONCE]
            band = Window(window.top + top, window.left, len(rows), window.width)
            taken = rotated_positions(self.size, self.degrees, band).take(pixels, nearest=mask)
            rows[...] = flip_horizontally(taken) if self.flipped else taken
        return result

    @cached_property
    def _positions(self) -> Positions:
        return rotated_positions(self.size, self.degrees, self.window)


def random_geometry(
    size: Size,
    *,
    crop_size: Size | None,
    crop: CropPlace,
    rotate_degrees: float,
    flip_probability: float,
    rng: np.random.Generator,
) -> Geometry:
    """Return a geometry: the angle uniform, the window as `crop` says, flipped or not.

    Raises `BadItemError` if an image of `size` is smaller than `crop_size`.
    """
    degrees = rng.uniform(-rotate_degrees, rotate_degrees) if rotate_degrees else 0.0
    if crop_size and crop == "random":
        window = random_window(size, crop_size, rng)
    elif crop_size and crop == "random_centred":
        window = random_centred_window(size, crop_size, rng)
    else:
        window = centred_window(size, crop_size or size)
    return Geometry(size, window, degrees, bool(rng.random() < flip_probability))
