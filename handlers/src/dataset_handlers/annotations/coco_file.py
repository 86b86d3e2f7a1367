"""One annotation file in COCO's format, as far as the listing of pictures needs it.

Source of the format: T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and
https://cocodataset.org/#format-data ("Object Detection"). Of an annotation is kept where in the
file it stands, and what objects are chosen by: 48 bytes, where the file has 500 or so.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dataset_handlers.annotations.large_json import BrokenJsonError, Element, elements
from dataset_handlers.operations.arrays import Size
from dataset_handlers.sdk.errors import NoSourceItemsError, SourceReadError

_LARGEST_ID = 2**53
"""Numbers are kept as float64, which is exact up to this."""


class ListedObject(NamedTuple):
    """An annotation: which bytes of the file it is, and what is needed to choose it."""

    start: int
    length: int
    annotation_id: int
    category_id: int
    is_crowd: bool
    area: float
    """In pixels of the picture: the annotation's own number, or its box's where it has none."""


@dataclass
class ListedImage:
    """An entry of `images`; `problem` says what is wrong with it, or with its annotations."""

    place: str
    """What to call it where it has no usable name."""
    image_id: int | None = None
    file_name: str = ""
    size: Size = (0, 0)
    problem: str | None = None
    numbers: array[float] = field(default_factory=lambda: array("d"))

    def objects(self) -> Iterator[ListedObject]:
        """Yield its annotations in the order that they have in the file."""
        per_object = len(ListedObject._fields)
        for at in range(0, len(self.numbers), per_object):
            start, length, annotation_id, category_id, crowd, area = self.numbers[
                at : at + per_object
            ]
            yield ListedObject(
                int(start), int(length), int(annotation_id), int(category_id), bool(crowd), area
            )


@dataclass
class CocoFile:
    """What a file holds. `strays`: what annotations without a picture are called, and why."""

    path: str
    categories: dict[int, str] = field(default_factory=dict)
    """Names by their ids."""
    images: list[ListedImage] = field(default_factory=list)
    strays: dict[str, str] = field(default_factory=dict)


def read_coco_file(base_path: Path, path: str) -> CocoFile:
    """Read a file, `path` below `base_path`, once.

    Raises `NoSourceItemsError` where it is broken: half of an annotation file is none; and
    `SourceReadError` where it can't be read.
    """
    reading = _Reading(CocoFile(path))
    try:
        with (base_path / path).open("rb") as file:
            for element in elements(file):
                reading.take(element)
    except BrokenJsonError as error:
        raise NoSourceItemsError(f"{path} is broken: {error}") from error
    except OSError as error:
        raise SourceReadError(f"{path} can't be read: {error.strerror}") from error
    return reading.finish()


class _Bad(Exception):
    """An entry that can't be used; says why."""


class _Reading:
    """The arrays of a file may come in any order."""

    def __init__(self, into: CocoFile) -> None:
        self._file = into
        self._numbers: dict[int, array[float]] = {}
        self._problems: dict[int, str] = {}
        self._counted: dict[str, int] = {}

    def take(self, element: Element) -> None:
        """Take an element of any array."""
        number = self._counted.get(element.array, 0)
        self._counted[element.array] = number + 1
        place = f"{self._file.path}, {element.array}[{number}]"
        match element.array:
            case "annotations":
                self._take_annotation(place, element)
            case "images":
                self._file.images.append(_image(place, element.value))
            case "categories":
                self._take_category(place, element.value)

    def finish(self) -> CocoFile:
        """Bring pictures and their annotations together."""
        entries: dict[int, int] = {}
        for image in self._file.images:
            if image.image_id is not None:
                entries[image.image_id] = entries.get(image.image_id, 0) + 1
        for image in self._file.images:
            if image.image_id is None or image.problem:
                continue
            if entries[image.image_id] > 1:
                image.problem = f"{entries[image.image_id]} images have the id {image.image_id}"
                continue
            image.numbers = self._numbers.get(image.image_id, image.numbers)
            image.problem = self._problems.get(image.image_id) or _repeated(image)
        for image_id in (self._numbers.keys() | self._problems.keys()) - entries.keys():
            self._file.strays[f"{self._file.path}, image {image_id}"] = (
                f"annotations are of image {image_id}, which is not listed"
            )
        return self._file

    def _take_annotation(self, place: str, element: Element) -> None:
        value = element.value
        try:
            image_id = _integer(value, "image_id")
        except _Bad as bad:
            self._file.strays[place] = str(bad)
            return
        try:
            numbers = _chosen_by(value)
        except _Bad as bad:
            called = f"annotation {value['id']}" if _is_id(value.get("id")) else place
            self._problems.setdefault(image_id, f"{called}: {bad}")
            return
        of_image = self._numbers.setdefault(image_id, array("d"))
        of_image.extend((element.start, element.length, *numbers))

    def _take_category(self, place: str, value: Any) -> None:
        """Take a category; without one of them all labels would be others."""
        try:
            category_id = _integer(value, "id")
            name = value.get("name")
            if not isinstance(name, str) or not name.split():
                raise _Bad("it has no name")
        except _Bad as bad:
            raise NoSourceItemsError(f"{place}: {bad}") from bad
        name = " ".join(name.split())
        known = self._file.categories.setdefault(category_id, name)
        if known != name:
            raise NoSourceItemsError(f'{place}: category {category_id} is "{known}" and "{name}"')


def _image(place: str, value: Any) -> ListedImage:
    image = ListedImage(place)
    for take in (_take_id, _take_file_name, _take_size):
        try:
            take(image, value)
        except _Bad as bad:
            image.problem = image.problem or f"{place}: {bad}"
    return image


def _take_id(image: ListedImage, value: Any) -> None:
    image.image_id = _integer(value, "id")


def _take_file_name(image: ListedImage, value: Any) -> None:
    image.file_name = _file_name(value)


def _take_size(image: ListedImage, value: Any) -> None:
    image.size = _integer(value, "height"), _integer(value, "width")
    if min(image.size) < 1:
        raise _Bad(f"its height and width are {list(image.size)}")


def _chosen_by(value: Mapping[str, Any]) -> tuple[int, int, bool, float]:
    annotation_id = _integer(value, "id")
    category_id = _integer(value, "category_id")
    crowd = value.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise _Bad("its iscrowd is neither 0 nor 1")
    return annotation_id, category_id, bool(crowd), _area(value)


def _area(value: Mapping[str, Any]) -> float:
    area = value.get("area")
    if area is None:
        box = value.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(is_finite, box)):
            return 0.0
        area = float(box[2]) * float(box[3])
    if not is_finite(area) or area < 0:
        raise _Bad("its area is no number from 0")
    return float(area)


def _file_name(value: Any) -> str:
    name = value.get("file_name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name.strip("/."):
        raise _Bad("it has no file_name")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise _Bad("its file_name leads out of images/")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise _Bad("its file_name is no Unicode text") from error
    return str(PurePosixPath(name))


def _integer(value: Any, name: str) -> int:
    if not isinstance(value, dict):
        raise _Bad("it is no JSON object")
    if not _is_id(value.get(name)):
        raise _Bad(f"its {name} is no integer" if name in value else f"it has no {name}")
    number: int = value[name]
    return number


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID


def is_finite(value: object) -> bool:
    """Whether it is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of more than 308 digits
        return False


def _repeated(image: ListedImage) -> str | None:
    """Return what is wrong where an annotation of a picture is there twice."""
    seen = set()
    for listed in image.objects():
        if listed.annotation_id in seen:
            return f"annotation {listed.annotation_id} is there twice"
        seen.add(listed.annotation_id)
    return None
