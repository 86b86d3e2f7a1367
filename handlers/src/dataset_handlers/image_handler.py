"""What handlers of images share: reading pictures, and one geometry for all that belongs to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, TypeVar

import numpy as np

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.brightness import brighten
from dataset_handlers.operations.decode import Decoded, Reducible, decode_color, decode_grey
from dataset_handlers.operations.encode import encode_jpeg
from dataset_handlers.operations.geometry import Geometry, random_geometry
from dataset_handlers.operations.opencv import settle_opencv
from dataset_handlers.operations.resize import resize
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Image
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.record_handler import RecordHandler
from dataset_handlers.sdk.source import SourceItem

Loaded = TypeVar("Loaded")


class LastItem(Generic[Loaded]):
    """Keeps what was loaded for one item, for its next variation."""

    def __init__(self, load: Callable[[SourceItem], Loaded]) -> None:
        self._load = load
        self._files: Mapping[str, str] | None = None
        self._loaded: Loaded | None = None

    def __call__(self, item: SourceItem) -> Loaded:
        """Return what `load` gives for the item."""
        if self._loaded is None or self._files != item.files:
            self._loaded = None  # so that two items are never held at once
            self._loaded = self._load(item)
            self._files = dict(item.files)
        return self._loaded


class ImageHandler(RecordHandler):
    """The base of handlers whose records hold images.

    The order of work: decode, `sized`, then per variation `geometry`, brightness and `encode`.
    """

    Options: ClassVar[type[BaseOptions]] = ImageOptions
    options: ImageOptions

    def prepare_process(self) -> None:
        """One thread, and the same code on every processor."""
        settle_opencv()

    def jpeg_feature(self, channels: int = 3) -> Image:
        """Return the feature of what `jpeg` makes."""
        return Image(*self.options.record_size, channels, "jpeg")

    def color(self, item: SourceItem, role: str, *, alone: bool = False) -> Decoded:
        """Return a picture upright, uint8 `[height, width, 3]`, blue first. Raises `BadItemError`.

        It may come reduced, as the option `reduced_decoding` says; `alone`: it has no mask or the
        like, which would have to lie exactly on it.
        """
        max_pixels, reducible = self.options.max_pixels, self._reducible(alone)
        return self._decoded(item, role, lambda data: decode_color(data, max_pixels, reducible))

    def grey(self, item: SourceItem, role: str, *, alone: bool = False) -> Decoded:
        """Return a picture upright, uint8 `[height, width]`, as `color` does; a mask as it is."""
        max_pixels, reducible = self.options.max_pixels, self._reducible(alone) if alone else None
        return self._decoded(item, role, lambda data: decode_grey(data, max_pixels, reducible))

    def _reducible(self, alone: bool) -> Reducible | None:
        size = self.options.image_size
        return Reducible(size, exact=not alone) if size and self.options.reduced_decoding else None

    def sized(self, pixels: Pixels, *, mask: bool = False) -> Pixels:
        """Return the picture in `image_size`, or as it is where that is null."""
        size = self.options.image_size
        return resize(pixels, size, nearest=mask) if size else pixels

    def geometry(self, pixels: Pixels, rng: np.random.Generator) -> Geometry:
        """Return the geometry of one variation, for this picture and all of the same size.

        Raises `BadItemError` where the picture is smaller than `crop_size`.
        """
        return random_geometry(
            (pixels.shape[0], pixels.shape[1]),
            crop_size=self.options.crop_size,
            random_crop=self.options.random_crop_centered,
            rotate_degrees=self.options.rotate_degrees,
            flip_probability=self.options.flip_probability,
            rng=rng,
        )

    def jpeg(self, pixels: Pixels, rng: np.random.Generator, *, spare: bool = False) -> bytes:
        """Return the picture as a JPEG file, its brightness changed at random.

        `spare`: the pixels are not needed any more, and may be changed.
        """
        spread = self.options.brightness
        if spread:
            pixels = brighten(pixels, 1 + rng.uniform(-spread, spread), spare=spare)
        return encode_jpeg(pixels, self.options.jpeg_quality)

    def _decoded(self, item: SourceItem, role: str, decode: Callable[[bytes], Decoded]) -> Decoded:
        data = self.read_source(item.files[role])
        try:
            return decode(data)
        except BadItemError as error:
            raise BadItemError(f"{role}: {error}") from error
