"""What handlers of images share: reading pictures, and one geometry for all that belongs to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.color_order import in_order
from dataset_handlers.operations.decode import Decoded, Reducible, decode_color, decode_grey
from dataset_handlers.operations.decode_sixteen import WHITE
from dataset_handlers.operations.encode import encode_jpeg, encode_png
from dataset_handlers.operations.geometry import Geometry, random_geometry
from dataset_handlers.operations.opencv import settle_opencv
from dataset_handlers.operations.sizing import Sizing, sizing
from dataset_handlers.operations.standardize import standardize, statistics_of
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature, Image, Scalar, Tensor
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.record_handler import RecordHandler
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.tone import randomly_degraded, randomly_toned

Loaded = TypeVar("Loaded")


class LastItem(Generic[Loaded]):
    """Keeps what was loaded for one item, for its next variation."""

    def __init__(self, load: Callable[[SourceItem], Loaded]) -> None:
        self._load = load
        self._key: str | None = None
        self._loaded: Loaded | None = None

    def __call__(self, item: SourceItem) -> Loaded:
        """Return what `load` gives for the item."""
        # By its key: items may share their files, and be different parts of them.
        if self._loaded is None or self._key != item.key:
            self._loaded = None  # so that two items are never held at once
            self._loaded = self._load(item)
            self._key = item.key
        return self._loaded


def as_seen(pixels: Pixels) -> Pixels:
    """Return pixels as a reader of the record sees them: red first, `[height, width, channels]`."""
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels[..., ::-1]


class ImageHandler(RecordHandler):
    """The base of handlers whose records hold images.

    The order of work: decode (`color`, `grey`), `sized`, then per variation `geometry` for all that
    belongs together, and `picture_values` for the picture.
    """

    Options: ClassVar[type[BaseOptions]] = ImageOptions
    options: ImageOptions

    def prepare_process(self) -> None:
        """One thread, and the same code on every processor."""
        settle_opencv()

    def picture_features(
        self, channels: int = 3, dtype: Literal["uint8", "uint16"] = "uint8"
    ) -> dict[str, Feature]:
        """Return the features of what `picture_values` makes: `image`, and what goes with it."""
        height, width = self.options.record_size
        match self.options.standardize:
            case "applied":
                assert height and width, "the options insist on one size"
                return {"image": Tensor((height, width, channels), "float32")}
            case "metadata":
                numbers: dict[str, Feature] = {
                    "image_mean": Scalar(dtype="float32"),
                    "image_deviation": Scalar(dtype="float32"),
                }
            case _:
                numbers = {}
        encoding = self.options.image_encoding
        return {"image": Image(height, width, channels, encoding, dtype), **numbers}

    @property
    def inputs(self) -> tuple[str, ...]:
        """What belongs to the image goes where the image goes."""
        names = super().inputs
        if "image" in names and self.options.standardize == "metadata":
            return (*names, "image_mean", "image_deviation")
        return names

    def color(
        self, item: SourceItem, role: str, *, alone: bool = False, full: bool = False
    ) -> Decoded:
        """Return a picture upright, uint8 `[height, width, 3]`, blue first. Raises `BadItemError`.

        It may come reduced, as the option `reduced_decoding` says; `alone`: it has no mask or the
        like, which would have to lie exactly on it; `full`: not at all, for what is cut out before
        it is brought to `image_size`.
        """
        max_pixels, reducible = self.options.max_pixels, self._reducible(alone, full)
        return self.decoded(item, role, lambda data: decode_color(data, max_pixels, reducible))

    def grey(
        self, item: SourceItem, role: str, *, alone: bool = False, full: bool = False
    ) -> Decoded:
        """Return a picture upright, uint8 `[height, width]`, as `color` does; a mask as it is."""
        max_pixels = self.options.max_pixels
        reducible = self._reducible(alone, full) if alone else None
        return self.decoded(item, role, lambda data: decode_grey(data, max_pixels, reducible))

    def _reducible(self, alone: bool, full: bool) -> Reducible | None:
        size = self.options.image_size
        if not size or full or not self.options.reduced_decoding:
            return None
        return Reducible(size, self.options.resize_mode, exact=not alone)

    def sizing(self, size: Size) -> Sizing:
        """Return how a picture of this size in its file, upright, comes to `image_size`."""
        return sizing(size, self.options.image_size, self.options.resize_mode)

    def sized(self, decoded: Decoded, *, mask: bool = False) -> Pixels:
        """Return a picture in `image_size`, or as it is where that is null; a mask likewise."""
        value = 0 if mask else self.options.pad_value
        if decoded.pixels.dtype == np.uint16:
            value = value * WHITE // 255
        return self.sizing(decoded.size).apply(decoded.pixels, mask=mask, value=value)

    def geometry(self, pixels: Pixels, rng: np.random.Generator) -> Geometry:
        """Return the geometry of one variation, for this picture and all of the same size.

        Raises `BadItemError` where the picture is smaller than `crop_size`.
        """
        return random_geometry(
            (pixels.shape[0], pixels.shape[1]),
            crop_size=self.options.crop_size,
            crop=self.options.crop_place,
            rotate_degrees=self.options.rotate_degrees,
            flip_probability=self.options.flip_probability,
            rng=rng,
        )

    def picture_values(
        self,
        pixels: Pixels,
        rng: np.random.Generator,
        *,
        spare: bool = False,
        colored: bool = False,
    ) -> dict[str, Any]:
        """Return a picture, its colours changed at random, as the values of `picture_features`.

        `spare`: the pixels are not needed any more, and may be changed; `colored`: they went
        through `randomly_colored` already.
        """
        if colored:
            toned = randomly_degraded(pixels, self.options, rng, spare=spare)
        else:
            toned = randomly_toned(pixels, self.options, rng, spare=spare)
        ordered = in_order(toned, self.options.color_order)
        match self.options.standardize:
            case "applied":
                return {"image": standardize(as_seen(ordered))}
            case "metadata":
                mean, deviation = statistics_of(ordered)
                numbers = {"image_mean": mean, "image_deviation": deviation}
            case _:
                numbers = {}
        return {"image": self.encoded(ordered), **numbers}

    def encoded(self, pixels: Pixels) -> bytes:
        """Return a file of the kind that the option `image_encoding` says."""
        if self.options.image_encoding == "png":
            return encode_png(pixels)
        return encode_jpeg(pixels, self.options.jpeg_quality)

    def decoded(self, item: SourceItem, role: str, decode: Callable[[bytes], Decoded]) -> Decoded:
        """Return what `decode` makes of an item's file. Raises `BadItemError`, with its role."""
        data = self.read_source(item.files[role])
        try:
            return decode(data)
        except BadItemError as error:
            raise BadItemError(f"{role}: {error}") from error
