"""Pillow's own limit of pixels, lifted for as long as ours is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


@contextmanager
def without_pillow_limit() -> Iterator[None]:
    """Let Pillow open images of any size.

    Its limit (a warning from 89 million pixels, an error from 179 million) is one number for the
    whole process and below the default of `max_pixels`. Not for use by several threads at once.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
