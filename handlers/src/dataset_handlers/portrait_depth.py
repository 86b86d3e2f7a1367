"""Portrait depth: pictures with the distance of each pixel.

`images/<name>.jpg`, `depth/<name>.png` and `depth_info.csv`, which says how each depth map is
encoded: see `depth_table` and `depth_encodings`, with the sources.

`depth` is the same for all encodings: 0 is the nearest of what the record shows, 1 the farthest.
It is normalised per record, after rotation and crop: depth of one picture is known up to scale and
shift at best, and what lies outside of a crop can't be told from the crop. `valid` is 255 where the
distance is known and 0 elsewhere, also in the bars of `fit`; `depth` is 0 there. A crop that shows
no distance, or one alone, has depth 0 all over.

Depth maps are resized and rotated by the nearest pixel: a mean of two distances is one where
nothing is, in front of each background a seam of such, and a mean with an invalid code is none.

Bad items are a picture or depth map without its partner or its row in the table, a row without
both, or of an encoding that is not known; a depth map of another size than its picture (both
upright) or of other bits than its encoding has; one without any valid pixel, and one with a single
distance all over: it says nothing about the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import ValidationInfo, field_validator

from dataset_handlers.companions import check_size
from dataset_handlers.depth_encodings import (
    ENCODINGS,
    Distances,
    Range,
    code_distances,
    depth_of_codes,
    looked_up,
    order_of_codes,
    present_codes,
    valid_codes,
)
from dataset_handlers.depth_table import TABLE, Row, read_table, shown
from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.decode import decode_deep
from dataset_handlers.operations.encode import encode_png
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature, Image, Tensor
from dataset_handlers.sdk.option_types import SIZE_ALLOWED, Flag, Size, option
from dataset_handlers.sdk.options import BaseOptions, impossible
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import NOT_UTF8, is_portable, portable, visible_files

IMAGES, DEPTHS = "images", "depth"

DepthType = Literal["float32", "uint16"]


class PortraitDepthOptions(ImageOptions):
    """Those of all handlers of images, and what the depth in the record is."""

    input_attributes: tuple[Literal["image", "depth", "valid"], ...] = option(
        ("image",), 'a list of "image", "depth", "valid", each once', min_length=1
    )
    image_size: Size | None = option((256, 256), f"null or {SIZE_ALLOWED}")

    relative_order: Flag = option(False, "true or false")
    """Of the distances only their order counts: depth is each one's rank among those that the
    record shows, from 0 to 1 in equal steps; what is equally far has one rank."""

    depth_encoding: DepthType = option("float32", 'one of "float32", "uint16"')
    """Numbers from 0 to 1, or a PNG file of 16 bits in which 65535 is 1: much smaller."""

    @field_validator("depth_encoding")
    @classmethod
    def _float32_has_one_size(cls, encoding: DepthType, info: ValidationInfo) -> DepthType:
        one_size = info.data.get("crop_size") or info.data.get("image_size")
        if encoding == "float32" and not one_size:
            raise impossible('its records need one size: set image_size or crop_size, or "uint16"')
        return encoding


class _Pair(NamedTuple):
    image: Pixels
    codes: Pixels
    """Values of the depth map, as in the file."""
    valid: Pixels
    """255 where the code stands for a distance, else 0."""
    distances: Distances
    """Of each code."""


class PortraitDepthHandler(ImageHandler):
    """A picture (JPEG), its depth from 0 to 1, and where that is known (PNG)."""

    name: ClassVar[str] = "portrait_depth"
    layout: ClassVar[str] = f"{IMAGES}/*.jpg and {DEPTHS}/*.png of the same names, and {TABLE}"
    Options: ClassVar[type[BaseOptions]] = PortraitDepthOptions
    options: PortraitDepthOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._pair = LastItem(self._load)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield pairs, and as bad items whatever lacks something. Raises `NoSourceItemsError` if
        the table is none."""
        table = read_table(self.base_path / TABLE)
        depths: dict[str, list[str]] = {}
        for name in visible_files(self.base_path / DEPTHS, {".png"}):
            depths.setdefault(PurePosixPath(name).stem, []).append(name)
        pictured = set()
        for name in visible_files(self.base_path / IMAGES, {".jpg", ".jpeg"}):
            stem = PurePosixPath(name).stem
            pictured.add(stem)
            yield _item(name, stem, depths.get(stem, []), table)
        for stem in depths.keys() - pictured:
            for name in depths[stem]:
                reason = f"a depth map without its image {IMAGES}/{portable(stem)}.jpg"
                yield SourceItem.bad(f"{DEPTHS}/{portable(name)}", reason)
        for stem, row in (table or {}).items():
            if stem not in pictured and stem not in depths:
                # Keys are paths elsewhere; what the table has for names may be anything.
                reason = f"there is neither an image nor a depth map of its name {shown(stem)}"
                yield SourceItem.bad(f"{TABLE}:{row.line}", reason)

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG, RGB. `depth`: from 0 (near) to 1 (far). `valid`: PNG, 255 where depth
        is known, else 0."""
        height, width = self.options.record_size
        return {
            **self.picture_features(),
            "depth": self._depth_feature(),
            "valid": Image(height, width, 1, "png"),
        }

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one variation of a pair."""
        pair = self._pair(item)
        geometry = self.geometry(pair.image, rng)
        moved = geometry.apply(pair.image)
        spare = not np.may_share_memory(moved, pair.image)
        codes, valid = (geometry.apply(each, mask=True) for each in (pair.codes, pair.valid))
        return {
            **self.picture_values(moved, rng, spare=spare),
            "depth": self._depth(codes, valid, pair.distances),
            "valid": encode_png(valid),
        }

    def _depth_feature(self) -> Feature:
        height, width = self.options.record_size
        if self.options.depth_encoding == "uint16":
            return Image(height, width, 1, "png", "uint16")
        assert height and width, "the options insist on one size"
        return Tensor((height, width, 1), "float32")

    def _depth(self, codes: Pixels, valid: Pixels, distances: Distances) -> Any:
        """Return the value of the feature `depth`."""
        of_codes = order_of_codes if self.options.relative_order else depth_of_codes
        table = of_codes(distances, present_codes(codes, valid))
        if self.options.depth_encoding == "uint16":
            return encode_png(looked_up(np.rint(table * 65535).astype(np.uint16), codes, valid))
        return looked_up(table.astype(np.float32), codes, valid)[..., np.newaxis]

    def _load(self, item: SourceItem) -> _Pair:
        image = self.color(item, "image")
        depth = self.decoded(item, "depth", lambda data: decode_deep(data, self.options.max_pixels))
        check_size(depth, image, "depth map")
        codes = depth.pixels
        encoding, bits = ENCODINGS[item.meta["encoding"]], 8 * codes.itemsize
        if bits not in encoding.bits:
            raise BadItemError(
                f"the depth map has {bits} bits, {TABLE} says {item.meta['encoding']}"
            )
        limits = item.meta["range"]
        distances = code_distances(encoding, bits, Range(*limits) if limits else None)
        valid = valid_codes(encoding, codes)
        found = distances[present_codes(codes, valid)]
        if not len(found):
            raise BadItemError("the depth map has no valid pixel")
        if found.min() == found.max():
            raise BadItemError("the depth map has one distance all over")
        place = self.sizing(depth.size)
        return _Pair(
            self.sized(image),
            place.apply(codes, mask=True),
            place.apply(valid, mask=True),
            distances,
        )


def _item(image: str, stem: str, depths: list[str], table: dict[str, Row] | None) -> SourceItem:
    key = f"{IMAGES}/{portable(image)}"
    if not depths:
        return SourceItem.bad(key, f"an image without its depth map {DEPTHS}/{portable(stem)}.png")
    if len(depths) > 1:
        names = ", ".join(map(portable, depths))
        return SourceItem.bad(key, f"an image with {len(depths)} depth maps: {names}")
    if not is_portable(image):
        return SourceItem.bad(key, NOT_UTF8)
    if table is None:
        return SourceItem.bad(key, f"{TABLE} is missing, which says how its depth is encoded")
    row = table.get(stem)
    if row is None:
        return SourceItem.bad(key, f"{TABLE} has no row for it")
    problem = row.problem()
    if problem:
        return SourceItem.bad(key, problem)
    return SourceItem(key, {"image": key, "depth": f"{DEPTHS}/{depths[0]}"}, row.meta())
