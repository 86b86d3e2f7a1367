"""What handlers of images share: reading pictures, and one geometry for all that belongs to one."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, TypeVar

import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.brightness import scale_brightness
from dataset_handlers.operations.decode import decode_color, decode_grey
from dataset_handlers.operations.encode import encode_jpeg
from dataset_handlers.operations.geometry import Geometry, random_geometry
from dataset_handlers.operations.opencv import settle_opencv
from dataset_handlers.operations.resize import resize
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Image
from dataset_handlers.sdk.image_options import ImageOptions
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


class ImageHandler(RecordHandler, ABC):
    """The base of handlers whose records hold images."""

    Options: ClassVar[type[BaseOptions]] = ImageOptions
    options: ImageOptions

    def prepare_process(self) -> None:
        """One thread, and the same code on every processor."""
        settle_opencv()

    def image_feature(self, channels: int = 3) -> Image:
        """Return the feature of the JPEG that `jpeg` makes."""
        return Image(*self.options.record_size, channels, "jpeg")

    def read_color(self, item: SourceItem, role: str) -> Pixels:
        """Return a picture upright: uint8 `[height, width, 3]`, RGB. Raises `BadItemError`.

        It may have been decoded at a half, a quarter or an eighth of its size where `image_size`
        is no larger than that.
        """
        data = self.read_source(item.files[role])
        with_role = _WithRole(role)
        with with_role:
            return decode_color(data, self.options.max_pixels, self.options.image_size)
        raise AssertionError

    def read_grey(self, item: SourceItem, role: str) -> Pixels:
        """Return a picture upright: uint8 `[height, width]`. Raises `BadItemError`."""
        data = self.read_source(item.files[role])
        with _WithRole(role):
            return decode_grey(data, self.options.max_pixels)
        raise AssertionError
