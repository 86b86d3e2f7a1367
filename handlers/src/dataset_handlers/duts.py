"""DUTS: pictures with masks of what stands out in them (salient object detection).

`DUTS-TR-Image/<name>.jpg` and `DUTS-TR-Mask/<name>.png`. Source of the layout: L. Wang et al.,
"Learning to Detect Salient Objects with Image-Level Supervision", CVPR 2017, DUTS-TR.

Masks: 8-bit grey, 1-bit and colour files are all taken as grey, 0 to 255; soft edges stay as they
are. Bad items are a picture or mask without its partner, a mask of another size than its picture
(both upright), and a mask without any salient pixel, from 128 on: in this data set every picture
shows a salient object, so such a mask is an annotation that went wrong, or one of 0 and 1, which
would be read as black. What a crop shows may well be empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from dataset_handlers.companions import check_levels, check_size
from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.encode import encode_png
from dataset_handlers.pairs import Pairing, files_by_name
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature, Image
from dataset_handlers.sdk.option_types import SIZE_ALLOWED, Size, option
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.source import SourceItem

IMAGES, MASKS = "DUTS-TR-Image", "DUTS-TR-Mask"
_SALIENT = 128


class DutsOptions(ImageOptions):
    """Those of all handlers of images."""

    input_attributes: tuple[Literal["image", "mask"], ...] = option(
        ("image",), 'a list of "image", "mask", each once', min_length=1
    )
    image_size: Size | None = option((320, 320), f"null or {SIZE_ALLOWED}")


class _Pair(NamedTuple):
    image: Pixels
    mask: Pixels


class DutsHandler(ImageHandler):
    """Pairs of a picture (JPEG) and a mask (PNG, one channel) of the same size."""

    name: ClassVar[str] = "duts"
    layout: ClassVar[str] = f"{IMAGES}/*.jpg and {MASKS}/*.png of the same names"
    Options: ClassVar[type[BaseOptions]] = DutsOptions
    options: DutsOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._pair = LastItem(self._load)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield pairs, and as bad items pictures and masks without a partner."""
        images = files_by_name(self.base_path, IMAGES, {".jpg", ".jpeg"})
        masks = files_by_name(self.base_path, MASKS, {".png"})
        yield from Pairing("mask", IMAGES, MASKS).all_items(images, masks)

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG, RGB. `mask`: PNG, 0 (background) to 255 (salient)."""
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
        image, mask = self.color(item, "image"), self.grey(item, "mask")
        check_size(mask, image, "mask")
        check_levels(mask.pixels, "mask")
        if mask.pixels.max() < _SALIENT:
            raise BadItemError(f"the mask has no salient pixel: none reaches {_SALIENT} of 255")
        return _Pair(self.sized(image), self.sized(mask, mask=True))
