"""Portrait segmentation: pictures of people with masks of where they are.

`images/<name>.jpg` and `masks/<name>.png`, or any other format of images. Source of the task: X.
Shen et al., "Automatic Portrait Segmentation for Image Stylization", Computer Graphics Forum 35(2),
Eurographics 2016.

With `square_crop` the square around the mask is cut out first (`operations/square_window.py`): it
is shifted inside where it would stick out of the picture, and has bars where it does not fit at
all.

Masks: taken as grey, 0 to 255; soft edges stay as they are. Bad items are a picture or mask without
its partner, several of one name, a mask of another size than its picture (both upright), and a mask
without a person: none of its pixels reaches 128. (Masks of 0 and 1 are among these, since they
would be read as black.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import ValidationInfo, field_validator

from dataset_handlers.companions import check_size
from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.encode import encode_png
from dataset_handlers.operations.mask_box import mask_box
from dataset_handlers.operations.square_window import SquareWindow, square_window
from dataset_handlers.pairs import Pairing, files_by_name
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature, Image
from dataset_handlers.sdk.option_types import SIZE_ALLOWED, Flag, RealNumber, Size, option
from dataset_handlers.sdk.options import BaseOptions, impossible
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import IMAGE_SUFFIXES

IMAGES, MASKS = "images", "masks"
_MARGIN = 0.1


class PortraitSegOptions(ImageOptions):
    """Those of all handlers of images, and the square around the person."""

    input_attributes: tuple[Literal["image", "mask"], ...] = option(
        ("image",), 'a list of "image", "mask", each once', min_length=1
    )
    image_size: Size | None = option((256, 256), f"null or {SIZE_ALLOWED}")
    square_crop: Flag = option(True, "true or false")
    """Cut out the square around the mask, before it is resized to `image_size`, a square too."""

    margin: RealNumber = option(_MARGIN, "a number from 0 to 10, with square_crop", ge=0, le=10)
    """Room on each side of the mask, as a share of its box's longer side."""

    @field_validator("square_crop")
    @classmethod
    def _is_square(cls, square: bool, info: ValidationInfo) -> bool:
        size = info.data.get("image_size")
        if square and size and size[0] != size[1]:
            raise impossible(f"image_size is {list(size)}, no square: one of the two has to change")
        if square and info.data.get("resize_mode") == "crop_or_pad":
            raise impossible('the square is always resized: resize_mode "crop_or_pad" needs it off')
        return square

    @field_validator("margin")
    @classmethod
    def _has_a_square(cls, margin: float, info: ValidationInfo) -> float:
        if margin != _MARGIN and info.data.get("square_crop") is False:
            raise impossible("it is the margin of square_crop, which is off")
        return margin


class _Pair(NamedTuple):
    image: Pixels
    mask: Pixels


class PortraitSegHandler(ImageHandler):
    """Pairs of a picture (JPEG) and a mask (PNG, one channel) of the same size."""

    name: ClassVar[str] = "portrait_seg"
    layout: ClassVar[str] = f"{IMAGES}/*.jpg and {MASKS}/*.png of the same names"
    Options: ClassVar[type[BaseOptions]] = PortraitSegOptions
    options: PortraitSegOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._pair = LastItem(self._load)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield pairs, and what is no pair as bad items."""
        images, masks = (
            files_by_name(self.base_path, folder, IMAGE_SUFFIXES) for folder in (IMAGES, MASKS)
        )
        yield from Pairing("mask", IMAGES, MASKS).all_items(images, masks)

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG, RGB. `mask`: PNG, 0 (background) to 255 (person)."""
        height, width = self.options.record_size
        return {**self.picture_features(), "mask": Image(height, width, 1, "png")}

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one variation of a pair."""
        pair = self._pair(item)
        geometry = self.geometry(pair.image, rng)
        moved = geometry.apply(pair.image)
        spare = not np.may_share_memory(moved, pair.image)
        mask = encode_png(geometry.apply(pair.mask, mask=True))
        return {**self.picture_values(moved, rng, spare=spare), "mask": mask}

    def _load(self, item: SourceItem) -> _Pair:
        image = self.color(item, "image", full=self.options.square_crop)
        mask = self.grey(item, "mask")
        check_size(mask, image, "mask")
        box = mask_box(mask.pixels)
        if box is None:
            raise BadItemError("the mask shows nobody: none of its pixels reaches 128 of 255")
        if not self.options.square_crop:
            return _Pair(self.sized(image), self.sized(mask, mask=True))
        square = square_window(box, mask.size, self.options.margin)
        side = self._side(square)
        return _Pair(
            square.apply(image.pixels, side, value=self.options.pad_value),
            square.apply(mask.pixels, side, mask=True),
        )

    def _side(self, square: SquareWindow) -> int:
        """Return what the square is resized to."""
        if self.options.image_size:
            return self.options.image_size[0]
        if square.side**2 > self.options.max_pixels:
            raise BadItemError(
                f"the square around its mask is {square.side**2} pixels with its bars, "
                f"max_pixels allows {self.options.max_pixels}"
            )
        return square.side
