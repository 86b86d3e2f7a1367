"""How depth maps are encoded, and depth that means the same for all: 0 is near, 1 is far.

What is asked of an encoding is the distance that each code (the value of a pixel in the file)
stands for, in whatever unit. The names are those that tables of depth maps use:

- `16-bit, mm, 0=invalid`: millimetres along the optical axis, as Kinect's depth is saved. 0: the
  sensor saw nothing. 65535 is invalid too: so the 7-Scenes data set (J. Shotton et al., "Scene
  Coordinate Regression Forests for Camera Relocalization in RGB-D Images", CVPR 2013) marks it, and
  no such sensor sees 65 m far.
- `near=bright, 8-bit relative disparity`: what phones save, 0 to 255 from the farthest to the
  nearest of the picture. Disparity grows with 1 / distance, but scale and shift are lost, and
  without them no distance can be computed (R. Ranftl et al., "Towards Robust Monocular Depth
  Estimation", TPAMI 2022, section 5). So distances are 255 - code: in the right order, in even
  steps of disparity.
- `near=dark, 8-bit relative`: depth, 0 to 255 from the nearest to the farthest, in even steps of
  the code.
- `RangeLinear`, `RangeInverse`: Google's depth map metadata (GDepth, "Encoding", of Lens Blur and
  others), code / largest code = n, 8 or 16 bit, with the nearest and farthest distance as `near`
  and `far`. n = (d - near) / (far - near), and n = far (d - near) / (d (far - near)), so that
  d = near far / (far - n (far - near)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels

_ROWS_AT_ONCE = 64
"""NumPy makes 8 bytes of each code that it looks up: not of all at once."""

Present = npt.NDArray[np.bool_]
"""`[largest code + 1]`: which codes there are."""

Distances = npt.NDArray[np.float64]
"""`[largest code + 1]`: the distance of each code."""


@dataclass(frozen=True)
class Range:
    """The nearest and the farthest distance, in one unit."""

    near: float
    far: float


@dataclass(frozen=True)
class DepthEncoding:
    """What the codes of a depth map stand for."""

    bits: tuple[int, ...]
    """How many bits a code may have."""
    distances: Callable[[Distances, Range | None], Distances]
    """Of all codes, given as 0, 1, 2, …"""
    invalid: tuple[int, ...] = ()
    """Codes that stand for no distance."""
    ranged: bool = False
    """Whether it needs a `Range`."""


def _as_they_are(codes: Distances, limits: Range | None) -> Distances:
    return codes


def _downwards(codes: Distances, limits: Range | None) -> Distances:
    distances: Distances = codes[-1] - codes
    return distances


def _range_inverse(codes: Distances, limits: Range | None) -> Distances:
    assert limits is not None, "the table was checked"
    share = codes / codes[-1]
    # d / near: the unit makes no difference, and there is no large product.
    distances: Distances = 1 / (1 - share * (1 - limits.near / limits.far))
    return distances


ENCODINGS = {
    "16-bit, mm, 0=invalid": DepthEncoding((16,), _as_they_are, invalid=(0, 65535)),
    "near=bright, 8-bit relative disparity": DepthEncoding((8,), _downwards),
    "near=dark, 8-bit relative": DepthEncoding((8,), _as_they_are),
    # Where near and far lie makes no difference to what is brought to [0, 1] afterwards.
    "RangeLinear": DepthEncoding((8, 16), _as_they_are),
    "RangeInverse": DepthEncoding((8, 16), _range_inverse, ranged=True),
}

_BY_FOLDED_NAME = {name.casefold(): name for name in ENCODINGS}


def encoding_named(text: str) -> str | None:
    """Return the name of an encoding as `ENCODINGS` has it, whatever its case and spaces."""
    return _BY_FOLDED_NAME.get(" ".join(text.split()).casefold())


def code_distances(encoding: DepthEncoding, bits: int, limits: Range | None) -> Distances:
    """Return the distance that each code of so many bits stands for."""
    return encoding.distances(np.arange(2**bits, dtype=np.float64), limits)


def valid_codes(encoding: DepthEncoding, codes: Pixels) -> Pixels:
    """Return 255 where a depth map has a distance, 0 elsewhere."""
    valid = np.full(codes.shape, 255, np.uint8)
    for code in encoding.invalid:
        valid[codes == code] = 0
    return valid


def present_codes(codes: Pixels, valid: Pixels) -> Present:
    """Return which codes there are where `valid` is not 0."""
    present = np.zeros(2 ** (8 * codes.itemsize), np.bool_)
    for top in range(0, len(codes), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        present[codes[rows][valid[rows] > 0]] = True
    return present


def depth_of_codes(distances: Distances, present: Present) -> Distances:
    """Return the depth of each code that is present, from 0 (the nearest) to 1 (the farthest).

    It is 0 for all others, and where all are at one distance.
    """
    depth = np.zeros_like(distances)
    found = distances[present]
    if len(found):
        nearest, farthest = found.min(), found.max()
        if nearest < farthest:
            depth[present] = (found - nearest) / (farthest - nearest)
    return depth


def order_of_codes(distances: Distances, present: Present) -> Distances:
    """Return what `depth_of_codes` does, of the order alone: equal steps between distances.

    The nearest distance of those present has rank 0, the next one 1 and so on; whatever lies at one
    distance shares its rank. Ranks are divided by the last one.
    """
    ranks = distances.copy()
    ranks[present] = np.unique(distances[present], return_inverse=True)[1]
    return depth_of_codes(ranks, present)


def looked_up(table: npt.NDArray[Any], codes: Pixels, valid: Pixels) -> npt.NDArray[Any]:
    """Return what the table has for each code; 0 where `valid` is 0."""
    found = np.zeros(codes.shape, table.dtype)
    for top in range(0, len(codes), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        np.copyto(found[rows], table[codes[rows]], where=valid[rows] > 0)
    return found
