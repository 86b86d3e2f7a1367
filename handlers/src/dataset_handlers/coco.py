"""COCO: pictures with the boxes, classes and masks of the objects in them.

Layout, and what becomes of its train and val: `dataset_handlers.coco_handler`.

Masks are those of pycocotools, pixel for pixel, moved as the picture's pixels are; an object's box
is the smallest around its mask in the record. Where an annotation has no segmentation, its `bbox`
is moved instead, and its mask is empty: that of any other object is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import cv2
import numpy as np

from dataset_handlers.annotations.coco_file import ListedObject
from dataset_handlers.annotations.moved_masks import moved_mask
from dataset_handlers.coco_handler import CocoBaseHandler, CocoBaseOptions, CocoPicture
from dataset_handlers.image_handler import LastItem
from dataset_handlers.operations.arrays import Boxes, Pixels
from dataset_handlers.operations.boxes import areas, as_shares, clipped_boxes, moved_boxes
from dataset_handlers.operations.encode import encode_png
from dataset_handlers.operations.geometry import Geometry
from dataset_handlers.sdk.features import Box, ClassLabel, Feature, Image, Scalar, Sequence
from dataset_handlers.sdk.option_types import RealNumber, option
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.records import Record
from dataset_handlers.sdk.source import SourceItem

_DIGITS = 6
"""Of sides of boxes; sums of products differ between processors far behind that."""


class CocoOptions(CocoBaseOptions):
    """Those of handlers of COCO's layout, and which objects and pictures are taken."""

    input_attributes: tuple[
        Literal["image", "boxes", "classes", "masks", "is_crowd", "image_id"], ...
    ] = option(
        ("image",),
        'a list of "image", "boxes", "classes", "masks", "is_crowd", "image_id", each once',
        min_length=1,
    )

    min_area: RealNumber = option(0.0, "a number from 0, in pixels of the source image", ge=0)
    """Smaller objects are left out, by the `area` of their annotations."""

    crowds: Literal["skip", "keep"] = option("skip", 'one of "skip", "keep"')
    """Whether regions of many objects (`iscrowd`) are left out, or are objects, too."""

    without_objects: Literal["skip", "keep"] = option("skip", 'one of "skip", "keep"')
    """What becomes of pictures, and of crops of them, where no object is left: no record, or one
    without objects."""


class _Shown(NamedTuple):
    label: int
    is_crowd: bool
    box: list[float]
    mask: bytes


class CocoHandler(CocoBaseHandler):
    """A picture (JPEG) and its objects: box, class, mask (PNG, one channel) of each."""

    name: ClassVar[str] = "coco"
    Options: ClassVar[type[BaseOptions]] = CocoOptions
    options: CocoOptions
    chosen_by: ClassVar[str] = (
        'categories, min_area and crowds ask for, and without_objects is "skip"'
    )

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._picture = LastItem(self.load)
        self._planned_classes: int | None = None

    def source_items(self) -> Iterator[SourceItem]:
        """Yield every picture, with those of its annotations that the options choose."""
        labels = self.label_of
        yield from self.bad_items()
        for picture in self.listing.pictures:
            chosen = [one for one in picture.image.objects() if self._is_chosen(one)]
            if chosen or self.options.without_objects == "keep":
                more = {
                    "labels": [labels[one.category_id] for one in chosen],
                    "classes": len(self.class_names),
                }
                yield self.item(picture.path, picture, chosen, more)

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG. Of each object: `boxes`, `classes`, `masks` (PNG, 0 and 255), `is_crowd`.

        `image_id`: COCO's, int64.
        """
        if self._planned_classes is None:
            return self._features(self.class_names)
        return self._features(tuple(str(number) for number in range(self._planned_classes)))

    def features_of(self, files: list[str]) -> dict[str, Feature]:
        """Leave out the names of classes: the raw data is not where one trains."""
        return self._features(())

    def write_shard(
        self,
        items: Iterable[Mapping[str, Any]],
        path: str,
        content_key: str,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """Write the records of `items`, which say how many classes there are.

        So no process that writes shards has to read the annotation files for that.
        """
        items = list(items)
        planned = (item["meta"].get("classes", 0) for item in items)
        self._planned_classes = max(planned, default=0)
        try:
            return super().write_shard(items, path, content_key, progress)
        finally:
            self._planned_classes = None

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> list[Record]:
        """Return one variation of a picture; none where none of its objects is left."""
        picture = self._picture(item)
        geometry = self.geometry(picture.pixels, rng)
        shown = list(self._shown(picture, item.meta["labels"], geometry))
        if not shown and self.options.without_objects == "skip":
            return []
        moved = geometry.apply(picture.pixels)
        spare = not np.may_share_memory(moved, picture.pixels)
        return [
            {
                **self.picture_values(moved, rng, spare=spare),
                "boxes": [one.box for one in shown],
                "classes": [one.label for one in shown],
                "masks": [one.mask for one in shown],
                "is_crowd": [one.is_crowd for one in shown],
                "image_id": item.meta["image_id"],
            }
        ]

    def _features(self, names: tuple[str, ...]) -> dict[str, Feature]:
        height, width = self.options.record_size
        return {
            **self.picture_features(),
            "boxes": Sequence(Box()),
            "classes": Sequence(ClassLabel(names)),
            "masks": Sequence(Image(height, width, 1, "png")),
            "is_crowd": Sequence(Scalar(dtype="bool")),
            "image_id": Scalar(),
        }

    def _is_chosen(self, listed: ListedObject) -> bool:
        return (
            listed.category_id in self.label_of
            and listed.area >= self.options.min_area
            and not (listed.is_crowd and self.options.crowds == "skip")
        )

    def _shown(
        self, picture: CocoPicture, labels: list[int], geometry: Geometry
    ) -> Iterator[_Shown]:
        """Yield what a record shows of each object; one mask at a time is in memory."""
        for one, label in zip(picture.objects, labels, strict=True):
            if one.mask is not None:
                mask, share = moved_mask(one.mask, picture.sizing, geometry)
                box = _box_around(mask)
            else:
                assert one.box is not None, "an object has a mask or a box"
                box, share = _moved_box(one.box, picture, geometry)
                mask = np.zeros(geometry.result_size, np.uint8)
            if share > 0 and share >= self.options.min_visible_share:
                yield _Shown(label, one.is_crowd, box, encode_png(mask))


def _box_around(mask: Pixels) -> list[float]:
    left, top, width, height = cv2.boundingRect(mask)
    return _shares(np.array([top, left, top + height, left + width], np.float64), mask.shape)


def _moved_box(box: Boxes, picture: CocoPicture, geometry: Geometry) -> tuple[list[float], float]:
    """Return a box after the sizing and the geometry of its picture, and its visible share."""
    within = clipped_boxes(box[np.newaxis], picture.sizing.source)
    sized = moved_boxes(within, picture.sizing.move)
    framed = clipped_boxes(sized, picture.sizing.size)
    moved = np.round(moved_boxes(framed, geometry.move), _DIGITS)
    seen = clipped_boxes(moved, geometry.result_size)
    share = _part(framed, sized) * _part(seen, moved)
    return _shares(seen[0], geometry.result_size), share


def _part(seen: Boxes, whole: Boxes) -> float:
    area = float(areas(whole)[0])
    return float(areas(seen)[0]) / area if area else 0.0


def _shares(box: Boxes, shape: tuple[int, ...]) -> list[float]:
    shares: list[float] = as_shares(box, (shape[0], shape[1])).tolist()
    return shares
