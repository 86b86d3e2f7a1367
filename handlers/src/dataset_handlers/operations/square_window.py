"""A square around a box, which may stick out of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.mask_box import PixelBox
from dataset_handlers.operations.resize import resize


@dataclass(frozen=True)
class SquareWindow:
    """A square of whole pixels; the picture may end within it at two opposite sides."""

    top: int
    left: int
    side: int

    def apply(self, pixels: Pixels, side: int, *, mask: bool = False, value: int = 0) -> Pixels:
        """Return what the square shows, resized to `side`; `value` where there is no picture.

        A mask gets no values but its own and that one. What sticks out takes memory only in the
        size of the result: the picture is resized before it is put there.
        """
        rows, place_down = self._seen(self.top, pixels.shape[0], side)
        columns, place_right = self._seen(self.left, pixels.shape[1], side)
        size = (place_down.stop - place_down.start, place_right.stop - place_right.start)
        resized = resize(pixels[rows, columns], size, nearest=mask)
        if size == (side, side):
            return resized
        framed = np.full((side, side, *pixels.shape[2:]), value, pixels.dtype)
        framed[place_down, place_right] = resized
        return framed

    def _seen(self, start: int, length: int, side: int) -> tuple[slice, slice]:
        """Return what of an axis is within the square, and where that lies in the result."""
        first, end = max(start, 0), min(start + self.side, length)
        place = min(self._scaled(first - start, side), side - 1)
        place_end = max(self._scaled(end - start, side), place + 1)
        return slice(first, end), slice(place, place_end)

    def _scaled(self, distance: int, side: int) -> int:
        return (2 * distance * side + self.side) // (2 * self.side)


def square_window(box: PixelBox, size: Size, margin: float) -> SquareWindow:
    """Return the square around a box in a picture of `size`.

    Its side is the box's longer one, and on either hand `margin` times that; it is no longer than
    the picture's longer side, beyond which there are bars alone. The box is in its centre, unless
    it would stick out: then it is shifted inside, as far as it fits. Where it does not fit, the
    whole of the picture's shorter side is in it.
    """
    longer = max(box.bottom - box.top, box.right - box.left)
    side = min(round(longer * (1 + 2 * margin)), max(size))
    top = _shifted((box.top + box.bottom - side) // 2, size[0] - side)
    left = _shifted((box.left + box.right - side) // 2, size[1] - side)
    return SquareWindow(top, left, side)


def _shifted(start: int, room: int) -> int:
    return min(max(start, min(room, 0)), max(room, 0))
