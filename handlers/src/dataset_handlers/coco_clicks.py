"""Clicks on the objects of COCO, for networks that select an object by clicks.

Source: N. Xu et al., "Deep Interactive Object Selection", CVPR 2016: a record holds a picture, two
maps of the Euclidean distance to the nearest positive and to the nearest negative click, cut at
255, and the mask of the object that is meant. The defaults are the paper's numbers as
https://github.com/sabarim/itis (its `PascalVOC_dios`) has them. As many clicks are drawn as there,
too: one positive click at least, but perhaps no negative one, as when somebody begins to select.
Layout: `dataset_handlers.coco_handler`; how clicks are placed: `dataset_handlers.clicks`.

A source item is an object; `variations_per_sample` says how many records are made of it. All
objects of a picture are in one split, the one in which `coco` has the picture. Distances are in
pixels of the record. Crowds, and objects that only have a box, are not selected and get no
clicks; an object without a segmentation that the options choose is a bad item. Where a neighbour's
annotation is broken, the neighbour gets no clicks, and the object is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import ValidationInfo, field_validator

from dataset_handlers.annotations.coco_file import ListedObject
from dataset_handlers.annotations.coco_listing import ListedPicture
from dataset_handlers.annotations.moved_masks import moved_mask
from dataset_handlers.clicks import (
    Click,
    Flags,
    Spacing,
    clicks_along,
    clicks_around,
    clicks_in_others,
    positive_clicks,
)
from dataset_handlers.coco_handler import (
    CocoBaseHandler,
    CocoBaseOptions,
    CocoObject,
    CocoPicture,
    object_of,
)
from dataset_handlers.image_handler import LastItem
from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.distances import FARTHEST, distance_map
from dataset_handlers.operations.encode import encode_png
from dataset_handlers.operations.geometry import Geometry
from dataset_handlers.sdk import plan
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature, Image, Scalar
from dataset_handlers.sdk.option_types import RealNumber, WholeNumber, option
from dataset_handlers.sdk.options import BaseOptions, impossible
from dataset_handlers.sdk.records import Record
from dataset_handlers.sdk.source import SourceItem

Strategy = Literal["around", "others", "along"]

_MOST_CLICKS = "an integer from 1 to 100"
_BAND = FARTHEST - 1
_PIXELS = f"an integer from 0 to {_BAND}, in pixels"


class CocoClicksOptions(CocoBaseOptions):
    """Those of handlers of COCO's layout, and where clicks are."""

    input_attributes: tuple[
        Literal["image", "positive_map", "negative_map", "mask", "image_id", "annotation_id"], ...
    ] = option(
        ("image", "positive_map", "negative_map"),
        'a list of "image", "positive_map", "negative_map", "mask", "image_id", "annotation_id", '
        "each once",
        min_length=1,
    )

    min_share: RealNumber = option(0.01, "a number from 0 to 1", ge=0, le=1)
    """The share of its picture that an object covers at least, by the `area` of its annotation."""

    max_positive_clicks: WholeNumber = option(5, _MOST_CLICKS, ge=1, le=100)
    """A record has a random number of them, from 1 to this, as far as there is room."""

    strategy: Literal["random", "around", "others", "along"] = option(
        "random", 'one of "random", "around", "others", "along"'
    )
    """Where negative clicks are: around the object, in each of the other objects, along the
    object's border; "random" picks one of them for each record, `others` where there are any."""

    max_clicks_around: WholeNumber = option(10, _MOST_CLICKS, ge=1, le=100)
    """A record has a random number of them, from 0 to this, as far as there is room."""

    max_clicks_per_other: WholeNumber = option(5, _MOST_CLICKS, ge=1, le=100)
    """Each other object has as many, a random number from 0 to this, as far as there is room."""

    max_clicks_along: WholeNumber = option(10, _MOST_CLICKS, ge=1, le=100)
    """A record has as many as this, as far as there is room."""

    border_distance: WholeNumber = option(5, _PIXELS, ge=0, le=_BAND)
    """How far clicks keep from the border of an object; in one that is nowhere so deep, they are
    where it is deepest."""

    click_distance: WholeNumber = option(20, "an integer from 0 to 1000, in pixels", ge=0, le=1000)
    """How far positive clicks keep from each other, and negative ones."""

    band_width: WholeNumber = option(40, f"an integer from 1 to {_BAND}, in pixels", ge=1, le=_BAND)
    """How far from the object clicks around it are at most."""

    @field_validator("band_width")
    @classmethod
    def _leaves_room(cls, width: int, info: ValidationInfo) -> int:
        border = info.data.get("border_distance")
        if border is not None and width < border:
            raise impossible(f"clicks around it keep border_distance, which is {border}, from it")
        return width


class CocoClicksHandler(CocoBaseHandler):
    """A picture (JPEG), two distance maps and the mask of an object (PNG, one channel)."""

    name: ClassVar[str] = "coco_clicks"
    raw_folder: ClassVar[str | None] = "coco"
    Options: ClassVar[type[BaseOptions]] = CocoClicksOptions
    options: CocoClicksOptions
    chosen_by: ClassVar[str] = "categories and min_share ask for"

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._picture = LastItem(self._load)
        options = self.options
        self._spacing = Spacing(options.border_distance, options.click_distance, options.band_width)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield every object that the options choose, with what else its picture shows."""
        yield from self.bad_items()
        labels, needs_others = self.label_of, self.options.strategy in ("random", "others")
        for picture in self.listing.pictures:
            objects = [one for one in picture.image.objects() if not one.is_crowd]
            for target in objects:
                if target.category_id in labels and self._is_large(target, picture):
                    others = [one for one in objects if one is not target] if needs_others else []
                    key = f"{picture.path}#{target.annotation_id}"
                    more = {"annotation_id": target.annotation_id}
                    yield self.item(key, picture, [target, *others], more)

    def split_of_items(self) -> Callable[[SourceItem], str] | None:
        """By keyed hash of the picture, so that it is not in two splits with its objects."""
        if not self.options.validation_share:
            return None
        split_of = plan.split_by_key(self.options.seed, self.options.validation_share)
        # What is known to be bad from the listing is a picture, and its key the picture's path.
        return lambda item: split_of(item.files.get("image", item.key))

    def objects(self, annotations: Iterator[Mapping[str, Any]], size: Size) -> Iterator[CocoObject]:
        """Leave out neighbours that are broken: all that they are for are clicks on them."""
        yield object_of(next(annotations), size)
        for annotation in annotations:
            with suppress(BadItemError):
                yield object_of(annotation, size)

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG. `positive_map`, `negative_map`: distances to the nearest click, PNG.

        A map is 0 at clicks, and 255 all over where there is none. `mask`: PNG, 0 and 255.
        `image_id`, `annotation_id`: COCO's, int64.
        """
        map_ = Image(*self.options.record_size, 1, "png")
        return {
            **self.picture_features(),
            "positive_map": map_,
            "negative_map": map_,
            "mask": map_,
            "image_id": Scalar(),
            "annotation_id": Scalar(),
        }

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> list[Record]:
        """Return one variation of an object; none where a crop does not show enough of it."""
        picture = self._picture(item)
        geometry = self.geometry(picture.pixels, rng)
        target = picture.objects[0].mask
        assert target is not None, "loading looked at it"
        mask, share = moved_mask(target, picture.sizing, geometry)
        if not share or share < self.options.min_visible_share:
            return []
        count = _from_to(1, self.options.max_positive_clicks, rng)
        positive = positive_clicks(mask, count, self._spacing, rng)
        negative = self._negative_clicks(mask, picture, geometry, rng)
        maps = {
            "positive_map": _map(positive, geometry.result_size),
            "negative_map": _map(negative, geometry.result_size),
            "mask": encode_png(mask),
        }
        moved = geometry.apply(picture.pixels)
        spare = not np.may_share_memory(moved, picture.pixels)
        return [
            {
                **self.picture_values(moved, rng, spare=spare),
                **maps,
                "image_id": item.meta["image_id"],
                "annotation_id": item.meta["annotation_id"],
            }
        ]

    def _is_large(self, target: ListedObject, picture: ListedPicture) -> bool:
        height, width = picture.image.size
        return target.area >= self.options.min_share * height * width

    def _load(self, item: SourceItem) -> CocoPicture:
        picture = self.load(item)
        target = picture.objects[0]
        if target.mask is None:
            raise BadItemError(f"annotation {target.annotation_id}: it has no segmentation")
        return picture

    def _negative_clicks(
        self, mask: Pixels, picture: CocoPicture, geometry: Geometry, rng: np.random.Generator
    ) -> list[Click]:
        match self._strategy(picture, rng):
            case "others":
                count = _from_to(0, self.options.max_clicks_per_other, rng)
                others = _others(picture, geometry, count)
                return clicks_in_others(mask, others, self._spacing, rng)
            case "around":
                count = _from_to(0, self.options.max_clicks_around, rng)
                shown = _shown(picture, geometry)
                return clicks_around(mask, shown, count, self._spacing, rng)
            case "along":
                count = self.options.max_clicks_along
                shown = _shown(picture, geometry)
                return clicks_along(mask, shown, count, self._spacing, rng)

    def _strategy(self, picture: CocoPicture, rng: np.random.Generator) -> Strategy:
        if self.options.strategy != "random":
            return self.options.strategy
        possible: list[Strategy] = ["around", "along"]
        if any(other.mask for other in picture.objects[1:]):
            possible.append("others")
        return possible[int(rng.integers(len(possible)))]


def _others(picture: CocoPicture, geometry: Geometry, count: int) -> Iterator[tuple[Pixels, int]]:
    """Yield the masks of the other objects, one at a time, and how many clicks are for it."""
    for other in picture.objects[1:]:
        if other.mask and count:
            yield moved_mask(other.mask, picture.sizing, geometry).pixels, count


def _from_to(least: int, most: int, rng: np.random.Generator) -> int:
    return int(rng.integers(least, most + 1))


def _map(clicks: list[Click], size: Size) -> bytes:
    return encode_png(distance_map(np.array(clicks, np.int64).reshape(-1, 2), size))


def _shown(picture: CocoPicture, geometry: Geometry) -> Flags | None:
    """Return where a record shows the picture, and not the bars of `fit`; None for everywhere."""
    sizing = picture.sizing
    inner = min(sizing.inner[0], sizing.size[0]), min(sizing.inner[1], sizing.size[1])
    if inner == sizing.size:
        return None
    pixels = sizing.apply(np.full(inner, 255, np.uint8), mask=True)
    shown: Flags = geometry.apply(pixels, mask=True) != 0
    return shown
