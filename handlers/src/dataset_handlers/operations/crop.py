"""Where a crop window lies, and cutting it out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.sdk.errors import BadItemError


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, pixels: Pixels) -> Pixels:
        """Return the window's part of an image, as a view."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def centred_window(size: Size, crop_size: Size) -> Window:
    """Return the window in the centre; an odd pixel is left over at the bottom and right.

    Raises `BadItemError` if an image of `size` is too small.
    """
    room_down, room_right = _room(size, crop_size)
    return Window(room_down // 2, room_right // 2, *crop_size)


def random_centred_window(size: Size, crop_size: Size, rng: np.random.Generator) -> Window:
    """Return a window at random around the centre.

    Top and left are independent, each of a triangular distribution over all places where the
    window fits: most likely in the centre, falling linearly to almost nothing at the edges.

    Raises `BadItemError` if an image of `size` is too small.
    """
    room_down, room_right = _room(size, crop_size)
    return Window(_triangular(room_down, rng), _triangular(room_right, rng), *crop_size)


def random_window(size: Size, crop_size: Size, rng: np.random.Generator) -> Window:
    """Return a window at random, every place where it fits as likely as any other.

    Raises `BadItemError` if an image of `size` is too small.
    """
    room_down, room_right = _room(size, crop_size)
    top, left = int(rng.integers(room_down + 1)), int(rng.integers(room_right + 1))
    return Window(top, left, *crop_size)


def _room(size: Size, crop_size: Size) -> Size:
    room = size[0] - crop_size[0], size[1] - crop_size[1]
    if min(room) < 0:
        raise BadItemError(f"the image is {list(size)}, smaller than crop_size {list(crop_size)}")
    return room


def _triangular(room: int, rng: np.random.Generator) -> int:
    """Return one of 0 … `room`; the mean of two uniform numbers is triangular on [0, 1).

    Source: L. Devroye, "Non-Uniform Random Variate Generation", 1986, I.4.
    """
    return int((rng.random() + rng.random()) / 2 * (room + 1))
