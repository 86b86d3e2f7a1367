"""Bring pictures of any proportions to one size.

`stretch` changes the proportions. `fit` keeps them: the whole picture is in, with bars at two
sides. `fill` keeps them too: there are no bars, what sticks out at two sides is cut off.
`crop_or_pad` keeps every pixel as it is: what sticks out is cut off, and bars are where the picture
is too small (as tf.image.resize_with_crop_or_pad does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataset_handlers.operations.arrays import Pixels, Points, Size
from dataset_handlers.operations.crop import centred_window
from dataset_handlers.operations.pad import pad
from dataset_handlers.operations.resize import resize

ResizeMode = Literal["stretch", "fit", "fill", "crop_or_pad"]


@dataclass(frozen=True)
class Sizing:
    """A picture of `source` resized to `inner`, put in the middle of a frame of `size`."""

    source: Size
    inner: Size
    size: Size

    def apply(self, pixels: Pixels, *, mask: bool = False, value: int = 0) -> Pixels:
        """Return the picture in `size`; a mask gets no values but its own, and `value` in bars.

        The picture may have been decoded reduced, as far as it then is not smaller than `inner`.
        """
        resized = resize(pixels, self.inner, nearest=mask)
        shown = (min(self.inner[0], self.size[0]), min(self.inner[1], self.size[1]))
        return pad(centred_window(self.inner, shown).cut(resized), self.size, value)

    def move(self, points: Points) -> Points:
        """Return where points of the source lie in the frame; they may lie outside."""
        scale = np.divide(self.inner, self.source)
        corner = [
            _middle(frame - inner) for frame, inner in zip(self.size, self.inner, strict=True)
        ]
        moved: Points = points * scale + corner
        return moved


def sizing(source: Size, size: Size | None, mode: ResizeMode) -> Sizing:
    """Return how a picture of `source` comes to `size`; None: it stays as it is."""
    if size is None:
        return Sizing(source, source, source)
    return Sizing(source, inner_size(source, size, mode), size)


def inner_size(source: Size, size: Size, mode: ResizeMode) -> Size:
    """Return what a picture is resized to before bars are added or edges cut off."""
    if mode == "stretch":
        return size
    if mode == "crop_or_pad":
        return source
    # Which side decides, without fractions: height / width of the one against the other.
    tall = source[0] * size[1] >= size[0] * source[1]
    if tall == (mode == "fit"):
        return size[0], max(1, _rounded(source[1] * size[0], source[0]))
    return max(1, _rounded(source[0] * size[1], source[1])), size[1]


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _middle(room: int) -> int:
    """Return where `pad` and `centred_window` put the corner: an odd pixel is at the end."""
    return room // 2 if room >= 0 else -(-room // 2)
