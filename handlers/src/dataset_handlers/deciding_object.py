"""Which of the objects in a picture decides its class: the one with the largest box."""

from __future__ import annotations

from collections.abc import Collection

from dataset_handlers.sdk.errors import BadItemError
from dataset_handlers.voc_annotation import Annotation, MarkedObject, Sides


def deciding_object(
    annotation: Annotation, categories: Collection[str] | None
) -> MarkedObject | None:
    """Return the object with the largest box within the picture, the first of several.

    None where no object is marked that counts: of `categories`, or any where that is None. Boxes
    are clipped to the picture, as far as its size is told. Raises `BadItemError` where there are
    objects and no box has an area.
    """
    counting = [o for o in annotation.objects if categories is None or o.name in categories]
    if not counting:
        return None
    clipped = [MarkedObject(o.name, _clipped(o.box, annotation)) for o in counting]
    largest = max(clipped, key=lambda marked: _area(marked.box))
    if not _area(largest.box):
        raise BadItemError("of no object in it is there a box with an area in the picture")
    return largest


def _clipped(box: Sides, annotation: Annotation) -> Sides:
    top, left, bottom, right = (max(0.0, side) for side in box)
    if annotation.size:
        height, width = annotation.size
        return min(top, height), min(left, width), min(bottom, height), min(right, width)
    return top, left, bottom, right


def _area(box: Sides) -> float:
    top, left, bottom, right = box
    return (bottom - top) * (right - left)
