"""ImageNet DET: pictures with boxes around objects, as training input for whole-picture classes.

`Data/DET/<subset>/**/<name>.JPEG` and `Annotations/DET/<subset>/**/<name>.xml`. Source of the
layout: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015, and
the development kit of ILSVRC 2014.

The object with the largest box decides the class of a picture; where nothing is marked that is
background, class 0. Annotations are read once, when a build is planned: what decides goes into the
plan, which writers of shards follow. So all of them know the same classes.

Bad items: a picture without its annotation or the other way round; an annotation that is broken,
has an object without a name or a box, numbers that are none or in the wrong order, or objects none
of which has an area; one that says another size than its picture has (upright); one that says no
size, and has its box reach outside. A box that does so is clipped otherwise. ImageNet's pictures in
`ILSVRC2013_train_extra0` to `10` have no annotations, since they show nothing of its categories.

Annotations are taken as of the upright picture, as it is seen. Of a picture that its EXIF
orientation turns on its side, an annotation made without it tells the other size, and is bad;
where the size stays what it is (upside down, mirrored, square) the difference can't be told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from dataset_handlers.companions import check_annotated_size
from dataset_handlers.deciding_object import deciding_object
from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.imagenet_det_options import ImagenetDetOptions
from dataset_handlers.labels import (
    classes_in,
    label_features,
    label_values,
    numbered_label_features,
)
from dataset_handlers.marked_pictures import Pair, pairs
from dataset_handlers.operations.arrays import Boxes, Pixels, Size
from dataset_handlers.operations.boxes import areas, as_shares, clipped_boxes, moved_boxes
from dataset_handlers.operations.sizing import Sizing
from dataset_handlers.sdk.errors import BadItemError, NoSourceItemsError
from dataset_handlers.sdk.features import Box, Feature
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import NOT_UTF8, is_portable, portable
from dataset_handlers.voc_annotation import (
    MAX_ANNOTATION_BYTES,
    Annotation,
    Sides,
    parse_annotation,
)

PICTURES, ANNOTATIONS = "Data/DET", "Annotations/DET"


class _Listed(NamedTuple):
    """A picture, and what decides its class: None for background. Or what is wrong with it."""

    key: str
    problem: str | None = None
    category: str | None = None
    box: Sides | None = None
    size: Size | None = None


class _Marked(NamedTuple):
    """A picture in `image_size`, and the box that goes with it."""

    image: Pixels
    boxes: Boxes


class ImagenetDetHandler(ImageHandler):
    """A picture (JPEG), the label of what is largest in it, the same one-hot, and its box."""

    name: ClassVar[str] = "imagenet_det"
    layout: ClassVar[str] = (
        f"{PICTURES}/<subset>/**/*.JPEG and {ANNOTATIONS}/<subset>/**/*.xml of the same names"
    )
    Options: ClassVar[type[BaseOptions]] = ImagenetDetOptions
    options: ImagenetDetOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._listed: deque[_Listed] | None = None
        self._found: set[str] = set()
        self._marked = LastItem(self._load)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield every picture, with what decides its class."""
        labels = {name: label for label, name in enumerate(self._names)}
        listed, self._listed = self._all_listed(), None
        while listed:  # what was said is let go of: there are hundreds of thousands
            yield self._item(listed.popleft(), labels)

    def features(self) -> dict[str, Feature]:
        """`image`: JPEG. `label`: int64. `one_hot`: float32 `[classes]`. `box`: of the object."""
        return self._features(label_features(self._names))

    def features_for(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Feature]:
        """Take the number of classes from the plan: to read all annotations again takes long."""
        counts = (item["meta"]["classes"] for item in items if "classes" in item["meta"])
        return self._features(numbered_label_features(next(counts, 1)))

    def features_of(self, files: list[str]) -> dict[str, Feature]:
        """Take the number of classes from the records."""
        return self._features(numbered_label_features(classes_in(files)))

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one variation of a picture; of a box that a crop leaves out, its area is 0."""
        marked = self._marked(item)
        geometry = self.geometry(marked.image, rng)
        moved = geometry.apply(marked.image)
        size = geometry.result_size
        boxes = clipped_boxes(moved_boxes(marked.boxes, geometry.move), size)
        spare = not np.may_share_memory(moved, marked.image)
        return {
            **self.picture_values(moved, rng, spare=spare),
            **label_values(item.meta["label"], item.meta["classes"]),
            "box": as_shares(boxes, size)[0],
        }

    def _features(self, of_label: dict[str, Feature]) -> dict[str, Feature]:
        return {**self.picture_features(), **of_label, "box": Box()}

    def _load(self, item: SourceItem) -> _Marked:
        decoded = self.color(item, "image", alone=True)
        height, width = decoded.size
        told, box = item.meta["size"], item.meta["box"]
        if told:
            check_annotated_size(tuple(told), decoded)
        if box and not told and (box[2] > height or box[3] > width):
            raise BadItemError(
                f"the box {box} reaches outside the image, which is {[height, width]}, and the "
                "annotation does not say a size"
            )
        boxes = np.array([box or [0, 0, height, width]], np.float64)
        return _Marked(self.sized(decoded), _framed(boxes, self.sizing(decoded.size)))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The classes, each at the place that is its label."""
        background = self.options.background_class
        names = self.options.categories
        if names is None:
            self._listed = self._all_listed()
            names = tuple(sorted(self._found - {background}))
        if background is not None and background not in names:
            names = (background, *names)
        return names

    def _all_listed(self) -> deque[_Listed]:
        if self._listed is not None:
            return self._listed
        every = deque(self._read_all())
        if not every:
            raise self.no_source_items()
        listed = deque(one for one in every if self._is_wanted(one))
        if not listed:
            raise NoSourceItemsError(
                f"none of {len(every)} pictures shows what categories asks for, and "
                f"background_class is null; marked are: {', '.join(sorted(self._found)) or 'none'}"
            )
        return listed

    def _is_wanted(self, listed: _Listed) -> bool:
        is_background = listed.problem is None and listed.category is None
        return not is_background or self.options.background_class is not None

    def _read_all(self) -> Iterator[_Listed]:
        for subset in self.options.subsets:
            pictures, annotations = f"{PICTURES}/{subset}", f"{ANNOTATIONS}/{subset}"
            for pair in pairs(self.base_path / pictures, self.base_path / annotations):
                yield self._read_pair(pair, pictures, annotations)

    def _read_pair(self, pair: Pair, pictures: str, annotations: str) -> _Listed:
        if len(pair.pictures) != 1:
            path = (
                f"{annotations}/{pair.annotations[0]}"
                if pair.annotations
                else f"{pictures}/{pair.pictures[0]}"
            )
            return _Listed(portable(path), f"{_many(pair.pictures, 'image')} in {pictures}")
        key = f"{pictures}/{pair.pictures[0]}"
        if not is_portable(key):
            return _Listed(portable(key), NOT_UTF8)
        if not pair.annotations and self._is_background(pair.folder):
            return _Listed(key)
        if len(pair.annotations) != 1:
            return _Listed(key, f"{_many(pair.annotations, 'annotation')} in {annotations}")
        try:
            annotation = self._annotation(f"{annotations}/{pair.annotations[0]}")
            decides = deciding_object(annotation, self.options.categories)
        except BadItemError as error:
            return _Listed(key, f"annotation: {error}")
        if decides is None:
            return _Listed(key, size=annotation.size)
        return _Listed(key, None, decides.name, decides.box, annotation.size)

    def _annotation(self, path: str) -> Annotation:
        annotation = parse_annotation(self.read_source(path, max_bytes=MAX_ANNOTATION_BYTES))
        self._found.update(marked.name for marked in annotation.objects)
        return annotation

    def _is_background(self, folder: str) -> bool:
        return any(fnmatchcase(folder, pattern) for pattern in self.options.background_folders)

    def _item(self, listed: _Listed, labels: Mapping[str, int]) -> SourceItem:
        if listed.problem is not None:
            return SourceItem.bad(listed.key, listed.problem)
        category = listed.category or self.options.background_class
        assert category is not None, "such pictures are not listed then"
        meta = {
            "label": labels[category],
            "classes": len(labels),
            "box": listed.box,
            "size": listed.size,
        }
        return SourceItem(listed.key, {"image": listed.key}, meta)


def _framed(boxes: Boxes, sizing: Sizing) -> Boxes:
    """Return what of the boxes is shown: what was cut off is not to come back by a rotation.

    Of one that was cut off whole a point is left, which has no area however it is turned.
    """
    framed = clipped_boxes(moved_boxes(boxes, sizing.move), sizing.size)
    gone = areas(framed) == 0
    framed[gone, 2:] = framed[gone, :2]
    return framed


def _many(files: list[str], what: str) -> str:
    if not files:
        return f"there is no {what} of its name"
    return f"there are {len(files)} {what}s of its name"
