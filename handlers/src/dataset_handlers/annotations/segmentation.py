"""COCO's `segmentation`: polygons, or run lengths, plain or compressed, as masks.

All is checked before pycocotools gets it, which trusts its input: run lengths that are wrong lead
its C code out of the mask.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from dataset_handlers.annotations.coco_file import is_finite
from dataset_handlers.operations.arrays import Boxes, Pixels, Size
from dataset_handlers.operations.polygon import polygon_runs
from dataset_handlers.sdk.errors import BadItemError

Rle = Mapping[str, Any]
"""A mask as pycocotools holds it, compressed: `size` and `counts`."""

_MOST_PIXELS = 2**32 - 1
"""pycocotools counts in 32 bit."""
_FEWEST_POINTS = 3
_FIVE_BITS, _MORE, _NEGATIVE = 0x1F, 0x20, 0x10
_FIRST_CHARACTER = 48


def mask_of(segmentation: object, size: Size) -> Rle | None:
    """Return the mask of an object in a picture of `size`; None where there is no segmentation.

    Raises `BadItemError` where it is broken.
    """
    if size[0] * size[1] > _MOST_PIXELS:
        raise BadItemError(f"a picture of {list(size)} is too large for run lengths")
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return _merged([_polygon_runs(polygon, size) for polygon in segmentation], size)
    if isinstance(segmentation, dict):
        return _merged([_given_runs(segmentation, size)], size)
    raise BadItemError("its segmentation is neither polygons nor run lengths")


def pixels_of(mask: Rle) -> Pixels:
    """Return a mask as uint8 `[height, width]`, 0 and 255."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy's, about how it is called
        pixels: Pixels = np.ascontiguousarray(coco_mask.decode(mask))
    pixels *= 255
    return pixels


def covers_nothing(mask: Rle) -> bool:
    """Whether a mask has no pixel: that of a polygon without area, or outside the picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as above
        return not coco_mask.area(mask)


def box_of(value: object) -> Boxes:
    """Return an annotation's `bbox` (left, top, width, height) as a box, `[4]`.

    Raises `BadItemError` where it is none.
    """
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_finite, value)):
        raise BadItemError("it has neither a segmentation nor a bbox of four numbers")
    left, top, width, height = map(float, value)
    if width <= 0 or height <= 0:
        raise BadItemError(f"it has no segmentation, and its bbox is {width:g} by {height:g}")
    return np.array([top, left, top + height, left + width])


def compressed_runs(text: str) -> list[int]:
    """Return the run lengths that a text stands for.

    Each is 5 bits per character, lowest first, 32 for more to come, and counted from the last but
    one; from the fourth on. Source: `rleFrString` in maskApi.c. Raises `BadItemError`.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text.encode("utf-8", "surrogatepass"):
        bits = character - _FIRST_CHARACTER
        if not 0 <= bits <= _FIVE_BITS | _MORE or shift > 60:
            raise BadItemError("its run lengths are no compressed RLE")
        value |= (bits & _FIVE_BITS) << shift
        shift += 5
        if bits & _MORE:
            continue
        if bits & _NEGATIVE:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise BadItemError("its run lengths are cut off")
    return runs


def _merged(parts: list[list[int]], size: Size) -> Rle:
    """Return the union of masks, each given by its runs."""
    masks = [coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size) for runs in parts]
    merged: Rle = coco_mask.merge(masks)
    return merged


def _polygon_runs(polygon: object, size: Size) -> list[int]:
    numbers = _numbers(polygon)
    if len(numbers) % 2:
        raise BadItemError(f"a polygon has {len(numbers)} numbers, which are no pairs")
    if len(numbers) < 2 * _FEWEST_POINTS:
        raise BadItemError(f"a polygon has {len(numbers) // 2} points, 3 are the least")
    corners = numbers.reshape(-1, 2)
    _check_near(corners, size)
    runs: list[int] = polygon_runs(corners, size).tolist()
    return runs


def _numbers(values: object) -> npt.NDArray[np.float64]:
    """Return a list of numbers as an array: a look at each of them would take longer."""
    if isinstance(values, list):
        try:
            array = np.array(values)
        except ValueError:  # lists of different lengths
            array = np.empty((0, 0))
        if array.ndim == 1 and array.dtype.kind in "iuf" and np.isfinite(array).all():
            return array.astype(np.float64)
    raise BadItemError("a polygon is no list of numbers")


def _check_near(corners: npt.NDArray[np.float64], size: Size) -> None:
    """Refuse what lies farther outside than the picture is large: edges are followed in steps."""
    room = np.array([size[1], size[0]], np.float64)
    far = ((corners < -room) | (corners > 2 * room)).any(axis=1)
    if far.any():
        right, down = corners[far][0]
        raise BadItemError(f"a polygon has a point far outside the picture, ({right:g}, {down:g})")


def _given_runs(segmentation: Mapping[str, Any], size: Size) -> list[int]:
    given = segmentation.get("size")
    if given != list(size):
        raise BadItemError(f"its run lengths are for {given}, the picture is {list(size)}")
    runs = segmentation.get("counts")
    if isinstance(runs, str):
        runs = compressed_runs(runs)
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise BadItemError("its run lengths are no integers from 0")
    if sum(runs) != size[0] * size[1]:
        raise BadItemError(f"its run lengths add up to {sum(runs)}, not to {size[0] * size[1]}")
    return runs
