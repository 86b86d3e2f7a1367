"""Image classification: one folder per class, `<class>/<image>`.

A class is a folder with at least one image file; its label is its position among the sorted names.
Files in deeper folders are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import ValidationInfo, field_validator

from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.sdk.example import decode_example
from dataset_handlers.sdk.features import ClassLabel, Feature, Tensor
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
from dataset_handlers.sdk.tfrecord import first_record


class ClassificationOptions(ImageOptions):
    """Those of all handlers of images, and `channels`."""

    input_attributes: tuple[Literal["image", "label", "one_hot"], ...] = option(
        ("image",), 'a list of "image", "label", "one_hot", each once', min_length=1
    )
    image_size: Size | None = option((224, 224), f"null or {SIZE_ALLOWED}")
    channels: WholeNumber = option(3, "1 (grey) or 3 (RGB)")
    """Of the image in the record."""

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


class ClassificationHandler(ImageHandler):
    """A picture (JPEG), the label of its class, and the same one-hot."""

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
            for file in unsorted_files(self.base_path / folder, IMAGE_SUFFIXES):
                path = f"{folder}/{file}"
                if is_portable(path):
                    yield SourceItem(path, {"image": path}, {"class": folder})
                else:
                    yield SourceItem.bad(portable(path), NOT_UTF8)

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG. `label`: int64. `one_hot`: float32 `[classes]`."""
        return self._features(tuple(portable(name) for name in self._folders))

    def features_of(self, files: list[str]) -> dict[str, Feature]:
        """Take the number of classes from the records: the raw data is not where one trains."""
        for file in files:
            record = first_record(file)
            if record is not None:
                count = len(decode_example(record)["one_hot"])
                return self._features(tuple(str(number) for number in range(count)))
        return self._features(("0",))

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one variation of a picture."""
        label = self._label(item)
        picture = self._picture(item)
        one_hot = np.zeros(len(self._folders), np.float32)
        one_hot[label] = 1
        moved = self.geometry(picture, rng).apply(picture)
        spare = not np.may_share_memory(moved, picture)
        return {**self.picture_values(moved, rng, spare=spare), "label": label, "one_hot": one_hot}

    def _features(self, names: tuple[str, ...]) -> dict[str, Feature]:
        return {
            **self.picture_features(self.options.channels),
            "label": ClassLabel(names),
            "one_hot": Tensor((len(names),), "float32"),
        }

    def _load(self, item: SourceItem) -> Pixels:
        read = self.grey if self.options.channels == 1 else self.color
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
            if holds_files(self.base_path / name, IMAGE_SUFFIXES)
        )
        if not folders:
            raise self.no_source_items()
        return folders
