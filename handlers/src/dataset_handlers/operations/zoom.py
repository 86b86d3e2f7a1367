"""A random part of a picture that fills a frame."""

from __future__ import annotations

import numpy as np

from dataset_handlers.operations.arrays import Size
from dataset_handlers.operations.crop import Window, random_window
from dataset_handlers.operations.sizing import inner_size


def random_zoom(
    size: Size, frame: Size, zoom: tuple[float, float], rng: np.random.Generator
) -> Window:
    """Return a window of the frame's proportions in a picture of `size`, at a random place.

    At a zoom of 1 it is the largest that there is, at 2 half as high and wide, and so on; each
    height in pixels that lies between `zoom`, least and most, is as likely. Drawn in whole pixels:
    so no last digit of a fraction decides.
    """
    largest = inner_size(frame, size, "fit")
    longer = max(largest)
    most, least = (max(1, round(longer / factor)) for factor in zoom)
    side = int(rng.integers(least, most + 1)) if least < most else most
    height, width = (max(1, (2 * each * side + longer) // (2 * longer)) for each in largest)
    return random_window(size, (height, width), rng)
