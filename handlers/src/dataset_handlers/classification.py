"""Image classification: one folder per class, `<class>/<image>`.

A class is a folder with at least one image file (JPEG, PNG, TIFF, BMP, GIF, WebP); its label is its
position among the sorted names. Files in deeper folders are not looked at.

Labels are handed on in a file with a name per line. A folder whose name such a file can't hold,
with a line break in it or blanks at an end, is no class, and all its images are bad items.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import ValidationInfo, field_validator

from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.labels import (
    classes_in,
    is_label_name,
    label_features,
    label_values,
    numbered_label_features,
)
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.decode_sixteen import decode_color_sixteen, decode_grey_sixteen
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.features import Feature
from dataset_handlers.sdk.option_types import SIZE_ALLOWED, Size, WholeNumber, option
from dataset_handlers.sdk.options import BaseOptions, impossible
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import (
    IMAGE_SUFFIXES,
    NOT_UTF8,
    holds_files,
    is_portable,
    portable,
    unsorted_files,
    visible_folders,
)

_FOR_EIGHT_BITS = (
    "rotate_degrees", "exposure", "brightness", "contrast", "saturation", "hue_degrees", "gamma",
    "blur_sigma", "noise_sigma", "recompress_quality",
)  # fmt: skip


_NO_CLASS = "can't be the name of a class: it has a line break, or blanks at an end"


class ClassificationOptions(ImageOptions):
    """Those of all handlers of images; `channels` and `bit_depth`."""

    input_attributes: tuple[Literal["image", "label", "one_hot"], ...] = option(
        ("image",), 'a list of "image", "label", "one_hot", each once', min_length=1
    )
    image_size: Size | None = option((224, 224), f"null or {SIZE_ALLOWED}")
    channels: WholeNumber = option(3, "1 (grey) or 3 (RGB)")
    """Of the image in the record."""
    bit_depth: WholeNumber = option(8, "8 or 16")
    """Of each channel of the image in the record. 16 need PNG; sources of 8 are spread over them,
    sources of 16 keep their upper 8 otherwise. What changes colours or rotates takes 8."""

    @field_validator("channels")
    @classmethod
    def _grey_or_rgb(cls, channels: int, info: ValidationInfo) -> int:
        if channels not in (1, 3):
            raise ValueError("neither grey nor RGB")
        of_colour = ("saturation", "hue_degrees") if channels == 1 else ()
        for name in of_colour:
            if info.data.get(name):
                raise impossible(f"{name} needs colours to change")
        return channels

    @field_validator("bit_depth")
    @classmethod
    def _possible(cls, bits: int, info: ValidationInfo) -> int:
        if bits not in (8, 16):
            raise ValueError("neither 8 nor 16")
        if bits == 16 and info.data.get("image_encoding") == "jpeg":
            raise impossible('a JPEG has 8 bits: set image_encoding to "png"')
        if bits == 16 and info.data.get("standardize") != "no":
            raise impossible('standardize takes 8 bits: set it to "no"')
        for name in _FOR_EIGHT_BITS if bits == 16 else ():
            if info.data.get(name):
                raise impossible(f"{name} works on 8 bits: leave it out")
        return bits


class ClassificationHandler(ImageHandler):
    """A picture, the label of its class, and the same one-hot."""

    name: ClassVar[str] = "classification"
    layout: ClassVar[str] = "a folder per class with images in it, <class>/*.jpg"
    Options: ClassVar[type[BaseOptions]] = ClassificationOptions
    options: ClassificationOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._picture = LastItem(self._load)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield every image file of every class."""
        for folder in visible_folders(self.base_path):
            is_class = is_label_name(folder)
            for file in unsorted_files(self.base_path / folder, IMAGE_SUFFIXES):
                path = f"{folder}/{file}"
                if not is_portable(path):
                    yield SourceItem.bad(portable(path), NOT_UTF8)
                elif not is_class:
                    yield SourceItem.bad(path, f"{_shown(folder)}, its folder, {_NO_CLASS}")
                else:
                    yield SourceItem(path, {"image": path}, {"class": folder})

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG or PNG. `label`: int64. `one_hot`: float32 `[classes]`."""
        return self._features(label_features(tuple(map(portable, self._folders))))

    def features_of(self, files: list[str]) -> dict[str, Feature]:
        """Take the number of classes from the records."""
        return self._features(numbered_label_features(classes_in(files)))

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one variation of a picture."""
        label = self._label(item)
        picture = self._picture(item)
        moved = self.geometry(picture, rng).apply(picture)
        spare = not np.may_share_memory(moved, picture)
        return {
            **self.picture_values(moved, rng, spare=spare),
            **label_values(label, len(self._folders)),
        }

    def _features(self, of_label: dict[str, Feature]) -> dict[str, Feature]:
        dtype: Literal["uint8", "uint16"] = "uint8" if self.options.bit_depth == 8 else "uint16"
        return {**self.picture_features(self.options.channels, dtype), **of_label}

    def _load(self, item: SourceItem) -> Pixels:
        is_grey = self.options.channels == 1
        if self.options.bit_depth == 16:
            decode = decode_grey_sixteen if is_grey else decode_color_sixteen
            most = self.options.max_pixels
            return self.sized(self.decoded(item, "image", lambda data: decode(data, most)))
        read = self.grey if is_grey else self.color
        return self.sized(read(item, "image", alone=True))

    def _label(self, item: SourceItem) -> int:
        name = item.meta["class"]
        if name not in self._labels:
            raise BadItemError(f"its class {name} is not in the raw data any more")
        return self._labels[name]

    @cached_property
    def _labels(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self._folders)}

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        folders = tuple(
            name
            for name in visible_folders(self.base_path)
            if is_label_name(name) and holds_files(self.base_path / name, IMAGE_SUFFIXES)
        )
        if not folders:
            raise self.no_source_items()
        return folders


def _shown(name: str) -> str:
    """Return a name as it can stand in a line, with its blanks and line breaks to be seen."""
    return json.dumps(name, ensure_ascii=False)
