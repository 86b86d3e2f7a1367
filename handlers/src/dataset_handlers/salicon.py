"""SALICON: pictures with maps of where people look (saliency prediction).

`images/{train,val}/<name>.jpg` and `maps/{train,val}/<name>.png`, 8-bit grey; any other format of
images will do. Published copies also have images, or both, flat: `images/<name>.jpg`. Source: M.
Jiang et al., "SALICON: Saliency in Context", CVPR 2015, and http://salicon.net/download.

Of which part a pair is: its folder says so, that of the image or that of the map; where both are
flat, a name as in COCO 2014 (`COCO_val2014_…`), which SALICON's pictures come from; else it is
`train`. The option `folders` says which parts are read. `val` becomes the split `validation`, as it
was published, and `validation_share` takes more out of `train`; with `folder_splits` off the
folders mean nothing, and `validation_share` alone decides. The test set (`images/test`,
`COCO_test2014_…`) was published without maps and is not read.

Maps: grey levels stay, and are resized as pictures are, not as masks. `smart_crop` cuts out what
is looked at most, before all else. Bad items are a picture or map without its partner, several of
one name, a map of another size than its picture (both upright), a map that is 0 everywhere: nobody
looked, and one of 0 and 1, which are no grey levels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import ValidationInfo, field_validator

from dataset_handlers.companions import check_levels, check_size
from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.encode import encode_png
from dataset_handlers.operations.smart_crop import smart_window, window_size
from dataset_handlers.pairs import Pairing
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature, Image
from dataset_handlers.sdk.option_types import SIZE_ALLOWED, Flag, RealNumber, Size, option
from dataset_handlers.sdk.options import BaseOptions, impossible
from dataset_handlers.sdk.plan import TRAIN, VALIDATION
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import IMAGE_SUFFIXES, unsorted_files

Part = Literal["train", "val"]

IMAGES, MAPS = "images", "maps"
_FLAT = ""
_FOLDERS = (_FLAT, "train", "val")
_COCO_NAMES = {"COCO_train2014_": "train", "COCO_val2014_": "val", "COCO_test2014_": "test"}

_ByPart = Mapping[str, list[str]]
_Group = tuple[str, list[str], list[str]]


class SaliconOptions(ImageOptions):
    """Those of all handlers of images, the parts that are read, and `smart_crop`."""

    input_attributes: tuple[Literal["image", "map"], ...] = option(
        ("image",), 'a list of "image", "map", each once', min_length=1
    )
    image_size: Size | None = option((240, 320), f"null or {SIZE_ALLOWED}")
    folders: tuple[Part, ...] = option(
        ("train", "val"), 'a list of "train", "val", each once', min_length=1
    )
    """Which of the published parts are read; what lies in no folder is `train`."""

    folder_splits: Flag = option(True, "true or false")
    """Whether `val` is the split `validation`, besides what `validation_share` takes of `train`."""

    smart_crop: Size | None = option(None, f"null or {SIZE_ALLOWED}, as in [3, 4]")
    """Proportions of a window: the one that holds most of the map is cut out before `image_size`,
    which had best have these proportions too."""

    smart_crop_share: RealNumber = option(
        1.0, "a number above 0 up to 1, with smart_crop", gt=0, le=1
    )
    """The window's sides, as a share of the largest window's of these proportions."""

    @field_validator("folders")
    @classmethod
    def _each_folder_once(cls, names: tuple[Part, ...]) -> tuple[Part, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a name is there twice")
        return names

    @field_validator("smart_crop_share")
    @classmethod
    def _shares_a_smart_crop(cls, share: float, info: ValidationInfo) -> float:
        if share != 1 and info.data.get("smart_crop") is None:
            raise impossible("it is the size of smart_crop, which is null")
        return share


class _Pair(NamedTuple):
    image: Pixels
    map: Pixels


class SaliconHandler(ImageHandler):
    """Pairs of a picture (JPEG) and a saliency map (PNG, one channel) of the same size."""

    name: ClassVar[str] = "salicon"
    layout: ClassVar[str] = (
        f"{IMAGES}/*.jpg and {MAPS}/*.png of the same names, also in folders train and val of each"
    )
    Options: ClassVar[type[BaseOptions]] = SaliconOptions
    options: SaliconOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._pair = LastItem(self._load)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield pairs of the parts that are read, and what of them is no pair as bad items."""
        images, maps = self._files(IMAGES), self._files(MAPS)
        pairing = Pairing("map", IMAGES, MAPS)
        for stem in images.keys() | maps.keys():
            for part, some, their_maps in _groups(images.get(stem, {}), maps.get(stem, {})):
                if part in self.options.folders:
                    yield from pairing.items(some, their_maps, {"part": part})

    def split_of_items(self) -> Callable[[SourceItem], str] | None:
        """As published, and as `validation_share` says; see `folder_splits`."""
        by_share = super().split_of_items()
        if not self.options.folder_splits or "val" not in self.options.folders:
            return by_share

        def split_of(item: SourceItem) -> str:
            if item.meta["part"] == "val":
                return VALIDATION
            return by_share(item) if by_share else TRAIN

        return split_of

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG, RGB. `map`: PNG, 0 (nobody looks) to 255 (most look)."""
        height, width = self.options.record_size
        return {**self.picture_features(), "map": Image(height, width, 1, "png")}

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one variation of a pair."""
        pair = self._pair(item)
        geometry = self.geometry(pair.image, rng)
        moved = geometry.apply(pair.image)
        spare = not np.may_share_memory(moved, pair.image)
        saliency = encode_png(geometry.apply(pair.map))
        return {**self.picture_values(moved, rng, spare=spare), "map": saliency}

    def _load(self, item: SourceItem) -> _Pair:
        ratio = self.options.smart_crop
        image = self.color(item, "image", full=ratio is not None)
        saliency = self.grey(item, "map")
        check_size(saliency, image, "map")
        if not saliency.pixels.any():
            raise BadItemError("the map is 0 everywhere: nobody looked")
        check_levels(saliency.pixels, "map")
        size, picture, levels = image.size, image.pixels, saliency.pixels
        if ratio:
            size = window_size(size, ratio, self.options.smart_crop_share)
            window = smart_window(levels, size)
            picture, levels = window.cut(picture), window.cut(levels)
        sizing = self.sizing(size)
        return _Pair(sizing.apply(picture, value=self.options.pad_value), sizing.apply(levels))

    def _files(self, folder: str) -> dict[str, dict[str, list[str]]]:
        """Return the paths of the files below `folder`, by name without suffix, then by part."""
        files: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for inner in _FOLDERS:
            below = f"{folder}/{inner}" if inner else folder
            for name in unsorted_files(self.base_path / below, IMAGE_SUFFIXES):
                part = inner or _part_of_name(name)
                files[PurePosixPath(name).stem][part].append(f"{below}/{name}")
        return files


def _part_of_name(name: str) -> str:
    for start, part in _COCO_NAMES.items():
        if name.startswith(start):
            return part
    return _FLAT


def _groups(images: _ByPart, maps: _ByPart) -> Iterator[_Group]:
    """Yield the part, the images and the maps of one name that belong together.

    Of files that don't say their part it is not known to which they belong: then all do.
    """
    if _FLAT in images or _FLAT in maps:
        known = (images.keys() | maps.keys()) - {_FLAT}
        part = known.pop() if len(known) == 1 else "train"
        yield part, list(chain(*images.values())), list(chain(*maps.values()))
        return
    for part in images.keys() | maps.keys():
        yield part, images.get(part, []), maps.get(part, [])
