"""The options of the handler `imagenet_det`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.sizing import ResizeMode
from dataset_handlers.sdk.option_types import SIZE_ALLOWED, Size, option

_NAMES_ALLOWED = "a list of names, each once, of 1 to 200 letters without blanks at their ends"
_MOST_CATEGORIES = 10_000
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

Name = Annotated[str, Field(min_length=1, max_length=200)]


class ImagenetDetOptions(ImageOptions):
    """Those of all handlers of images; which pictures and which categories."""

    input_attributes: tuple[Literal["image", "label", "one_hot", "box"], ...] = option(
        ("image",), 'a list of "image", "label", "one_hot", "box", each once', min_length=1
    )
    image_size: Size | None = option((415, 482), f"null or {SIZE_ALLOWED}")
    """482 wide and 415 high is what ImageNet's pictures have on average."""
    resize_mode: ResizeMode = option("fit", 'one of "stretch", "fit", "fill", "crop_or_pad"')

    subsets: tuple[Name, ...] = option(
        ("train",), 'a list of folders below Data/DET, as "train", each once', min_length=1
    )
    """Which of ImageNet's subsets are read; `test` has no annotations."""

    background_class: Name | None = option(
        "background", "null or a name, of 1 to 200 letters without blanks at its ends"
    )
    """The class of pictures in which nothing is marked; null leaves them out. It is the first,
    where `categories` does not place it."""

    background_folders: tuple[Name, ...] = option(
        ("ILSVRC2013_train_extra*",), 'a list of patterns of folders below a subset, with "*"'
    )
    """Pictures in these folders need no annotation: nothing is marked in them."""

    categories: tuple[Name, ...] | None = option(
        None, f"null or {_NAMES_ALLOWED}", min_length=1, max_length=_MOST_CATEGORIES
    )
    """Objects of other categories count for nothing. Labels follow the order of this list; null
    takes all that are marked anywhere, sorted."""

    @field_validator("subsets")
    @classmethod
    def _folders(cls, subsets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(subsets)) < len(subsets) or not all(map(_FOLDER.fullmatch, subsets)):
            raise ValueError("not names of folders, each once")
        return subsets

    @field_validator("background_class")
    @classmethod
    def _is_name(cls, name: str | None) -> str | None:
        if name is not None:
            _check_name(name)
        return name

    @field_validator("categories")
    @classmethod
    def _are_names(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            _check_name(name)
        if names and len(set(names)) < len(names):
            raise ValueError("a name is there twice")
        return names


def _check_name(name: str) -> None:
    """Refuse what an annotation can't hold, or a file with a name per line."""
    if name != " ".join(name.split()) or not name.isprintable():
        raise ValueError("not a name")
