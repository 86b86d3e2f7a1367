"""What handlers of COCO's layout share: the listing, and the objects of a picture.

`images/*.jpg` (or `images/<part>/*.jpg` for `instances_<part>.json`) and
`annotations/instances_*.json`. Source of the layout: T.-Y. Lin et al., "Microsoft COCO: Common
Objects in Context", ECCV 2014; https://cocodataset.org/#format-data.

All annotation files are put together; who wants COCO's own train or val alone names the file in
`annotation_files`. A picture may be in one of them only: its objects would be there twice, or the
same picture in training and validation.

An annotation file is read once, when a build is planned, a piece at a time; for the 860,000
annotations of COCO's train2017 (450 MB) that takes 20 s and 180 MB, the plan another 30 MB. A
source item holds which bytes of the file its annotations are, and the process that makes its
records reads these alone. Polygons in the plan would make it as large as the file, and many times
so where each object is an item that needs its neighbours.

Pictures are turned upright by their EXIF orientation, and annotations are taken as of the upright
picture: annotation tools show it so. Those of COCO have no orientation.

Bad items: pictures that are not there, are listed twice, have another size than the file says, or
an annotation that is broken, or covers nothing of its picture; annotations of pictures that are not
listed. A file that is no JSON to its end, or whose categories are broken, fails the build: half a
file is none, and how many pictures it takes along nobody knows. With `max_bad_share` 1, which takes
whatever share is bad, it is a bad item too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import field_validator

from dataset_handlers.annotations.coco_file import ListedObject
from dataset_handlers.annotations.coco_listing import (
    ANNOTATIONS,
    IMAGES,
    CocoListing,
    ListedPicture,
    annotation_names,
    shown_names,
)
from dataset_handlers.annotations.segmentation import Rle, box_of, covers_nothing, mask_of
from dataset_handlers.image_handler import ImageHandler
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Boxes, Pixels, Size
from dataset_handlers.operations.boxes import areas, clipped_boxes
from dataset_handlers.operations.sizing import ResizeMode, Sizing
from dataset_handlers.sdk.errors import BadItemError, NoSourceItemsError, SourceReadError
from dataset_handlers.sdk.option_types import SIZE_ALLOWED, RealNumber, option
from dataset_handlers.sdk.option_types import Size as SizeOption
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.source import SourceItem


class CocoBaseOptions(ImageOptions):
    """Those of all handlers of images, and which objects are taken."""

    image_size: SizeOption | None = option((512, 512), f"null or {SIZE_ALLOWED}")
    resize_mode: ResizeMode = option("fit", 'one of "stretch", "fit", "fill", "crop_or_pad"')

    annotation_files: tuple[str, ...] | None = option(
        None, "null or a list of names of files in annotations/, each once", min_length=1
    )
    """Which to read; null reads all `instances_*.json`."""

    categories: tuple[str, ...] | None = option(
        None, "null or a list of names of categories, each once", min_length=1
    )
    """Objects of which categories are taken; null takes all. Labels follow the categories' ids,
    whatever the order of this list."""

    min_visible_share: RealNumber = option(0.0, "a number from 0 to 1", ge=0, le=1)
    """Leave out objects of which a record shows less than this share; what it does not show at all
    is always left out."""

    @field_validator("annotation_files", "categories")
    @classmethod
    def _named_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names and len(set(names)) < len(names):
            raise ValueError("a name is there twice")
        return names


class CocoObject(NamedTuple):
    """An object of a picture; `mask` is None where it only has a box, in pixels of the picture."""

    annotation_id: int
    is_crowd: bool
    mask: Rle | None
    box: Boxes | None


class CocoPicture(NamedTuple):
    """A picture in `image_size`, and its objects in its own size."""

    pixels: Pixels
    sizing: Sizing
    objects: list[CocoObject]


class CocoBaseHandler(ImageHandler):
    """The base of `coco` and `coco_clicks`."""

    layout: ClassVar[str] = f"{IMAGES}/*.jpg and {ANNOTATIONS}/instances_*.json"
    Options: ClassVar[type[BaseOptions]] = CocoBaseOptions
    options: CocoBaseOptions
    chosen_by: ClassVar[str]
    """Which options leave out objects, for the message where none is left."""

    @cached_property
    def listing(self) -> CocoListing:
        """What the annotation files list."""
        names = annotation_names(self.base_path, self.options.annotation_files)
        whatever_is_bad = self.options.on_bad_item == "skip" and self.options.max_bad_share == 1
        return CocoListing(self.base_path, names, skip_broken=whatever_is_bad)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the categories that are taken, in the order of their ids."""
        return self.listing.chosen_names(self.options.categories)

    @cached_property
    def label_of(self) -> dict[int, int]:
        """The labels of the ids of the categories that are taken."""
        labels = {name: label for label, name in enumerate(self.class_names)}
        named = self.listing.categories.items()
        return {category: labels[name] for category, name in named if name in labels}

    def no_source_items(self) -> NoSourceItemsError:
        """Tell whether it is the raw folder that has none, or the options that leave none."""
        pictures = self.listing.pictures
        if not pictures:
            return super().no_source_items()
        marked = {one.category_id for picture in pictures for one in picture.image.objects()}
        named = self.listing.categories.items()
        names = list(dict.fromkeys(name for category, name in named if category in marked))
        return NoSourceItemsError(
            f"none of {len(pictures)} pictures shows an object that {self.chosen_by}; "
            f"marked are: {shown_names(names)}"
        )

    def bad_items(self) -> Iterator[SourceItem]:
        """Yield what is known to be bad from the listing."""
        for key, reason in self.listing.bad.items():
            yield SourceItem.bad(key, reason)

    def item(
        self,
        key: str,
        picture: ListedPicture,
        objects: list[ListedObject],
        more: Mapping[str, Any],
    ) -> SourceItem:
        """Return an item with these of the objects of a picture."""
        meta = {
            "image_id": picture.image.image_id,
            "size": list(picture.image.size),
            "objects": [[one.start, one.length] for one in objects],
            **more,
        }
        return SourceItem(key, {"image": picture.path, "annotations": picture.annotations}, meta)

    def load(self, item: SourceItem) -> CocoPicture:
        """Read the picture of an item, and its objects."""
        decoded, size = self.color(item, "image"), tuple(item.meta["size"])
        if decoded.size != size:
            said = (
                f"the picture is {list(decoded.size)}, in {item.files['annotations']} {list(size)}"
            )
            if decoded.turned and decoded.size == size[::-1]:
                said += ": it is turned by its EXIF orientation, its annotations are not"
            raise BadItemError(said)
        objects = list(self.objects(self._annotations(item), decoded.size))
        return CocoPicture(self.sized(decoded), self.sizing(decoded.size), objects)

    def objects(self, annotations: Iterator[Mapping[str, Any]], size: Size) -> Iterator[CocoObject]:
        """Yield the objects of a picture of `size`. Raises `BadItemError` where one is broken."""
        return (object_of(annotation, size) for annotation in annotations)

    def _annotations(self, item: SourceItem) -> Iterator[dict[str, Any]]:
        path, image_id = item.files["annotations"], item.meta["image_id"]
        try:
            with (self.base_path / path).open("rb") as file:
                for start, length in item.meta["objects"]:
                    file.seek(start)
                    yield _decoded(file.read(length), path, image_id)
        except OSError as error:
            raise SourceReadError(f"{path} can't be read: {error.strerror}") from error


def _decoded(data: bytes, path: str, image_id: int) -> dict[str, Any]:
    try:
        annotation = json.loads(data)
    except (ValueError, RecursionError):
        annotation = None
    if not isinstance(annotation, dict) or annotation.get("image_id") != image_id:
        raise SourceReadError(f"{path} has changed since the build was planned")
    return annotation


def object_of(annotation: Mapping[str, Any], size: Size) -> CocoObject:
    """Return an object of a picture of `size`.

    Raises `BadItemError` where its annotation is broken, or covers nothing of the picture.
    """
    annotation_id = annotation["id"]
    try:
        mask = mask_of(annotation.get("segmentation"), size)
        if mask is not None and covers_nothing(mask):
            raise BadItemError("its segmentation covers no pixel of the picture")
        box = box_of(annotation.get("bbox")) if mask is None else None
        if box is not None and not areas(clipped_boxes(box[np.newaxis], size))[0]:
            raise BadItemError("it has no segmentation, and its bbox is outside the picture")
    except BadItemError as error:
        raise BadItemError(f"annotation {annotation_id}: {error}") from error
    return CocoObject(annotation_id, bool(annotation.get("iscrowd", 0)), mask, box)
