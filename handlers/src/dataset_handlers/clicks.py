"""Where somebody who selects an object may click, drawn at random.

Source: N. Xu et al., "Deep Interactive Object Selection", CVPR 2016, 3.1; the three ways to place
negative clicks are its strategies 1, 2 and 3. A click is a pixel, (row, column); distances are
Euclidean, between the middles of pixels. What lies outside of the picture is neither object nor
background: an object that the picture's edge cuts has no border there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.crop import Window
from dataset_handlers.operations.distances import squared_distances

Click = tuple[int, int]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spacing:
    """How far clicks keep away, in pixels."""

    from_border: int
    """From the object's border, on either side."""
    from_each_other: int
    around: int
    """At most this far from the object, for clicks around it."""


def positive_clicks(
    mask: Pixels, count: int, spacing: Spacing, rng: np.random.Generator
) -> list[Click]:
    """Return at most `count` clicks inside an object, at least one.

    None is nearer to the border than `from_border`; or, where the object is nowhere that deep, than
    its deepest pixels. `mask` is 0 outside the object and shows some of it.
    """
    window = _window(mask, 1)
    places = _deep(window.cut(mask), spacing.from_border)
    return _in_picture(_apart(places, count, spacing.from_each_other, rng), window)


def clicks_around(
    mask: Pixels, shown: Flags | None, count: int, spacing: Spacing, rng: np.random.Generator
) -> list[Click]:
    """Return at most `count` clicks in the band around an object: strategy 1.

    `shown`: where there is a picture at all; None for everywhere.
    """
    window = _window(mask, spacing.around)
    places = _outside(window, mask, shown, spacing.from_border, spacing.around)
    return _in_picture(_apart(places, count, spacing.from_each_other, rng), window)


def clicks_in_others(
    mask: Pixels,
    others: Iterable[tuple[Pixels, int]],
    spacing: Spacing,
    rng: np.random.Generator,
) -> list[Click]:
    """Return clicks inside other objects, each with the most clicks for it: strategy 2.

    They are placed as positive clicks are, off the object; where an object is hidden, there are
    none. Masks are 0 and 255. Those of the others take the result of hiding them: a copy of each
    would be one too many where pictures are large.
    """
    clicks: list[Click] = []
    for other, count in others:
        seen = cv2.subtract(other, mask, dst=other)
        if not seen.any():
            continue
        window = _window(seen, 1)
        places = _deep(window.cut(seen), spacing.from_border)
        for row, column in clicks:
            place = row - window.top, column - window.left
            _clear(places, place, spacing.from_each_other)
        clicks += _in_picture(_apart(places, count, spacing.from_each_other, rng), window)
        del places
    return clicks


def clicks_along(
    mask: Pixels, shown: Flags | None, count: int, spacing: Spacing, rng: np.random.Generator
) -> list[Click]:
    """Return at most `count` clicks along an object's border: strategy 3.

    The first is anywhere on the line that is `from_border` away, each next where it is farthest
    from all before. The paper takes the farthest of the whole band from clicks, object and what is
    beyond the band, which says nothing any more once clicks are farther apart than half the band.
    """
    line = max(1, spacing.from_border)
    window = _window(mask, line + 1)
    places = np.argwhere(_outside(window, mask, shown, line, line + 1, within=True))
    if not len(places):
        return []
    chosen = [int(rng.integers(len(places)))]
    nearest = _squares(places, chosen[0])
    while len(chosen) < count:
        farthest = int(nearest.argmax())
        if nearest[farthest] < max(1, spacing.from_each_other**2):
            break
        chosen.append(farthest)
        np.minimum(nearest, _squares(places, farthest), out=nearest)
    return _in_picture([(int(row), int(column)) for row, column in places[chosen]], window)


def _squares(places: npt.NDArray[np.int64], of: int) -> npt.NDArray[np.int64]:
    squares: npt.NDArray[np.int64] = ((places - places[of]) ** 2).sum(axis=1)
    return squares


def _window(mask: Pixels, margin: int) -> Window:
    """Return the part of the picture that holds the object and a margin around it."""
    left, top, width, height = cv2.boundingRect(mask)
    bottom, right = min(len(mask), top + height + margin), min(mask.shape[1], left + width + margin)
    top, left = max(0, top - margin), max(0, left - margin)
    return Window(top, left, bottom - top, right - left)


def _deep(mask: Pixels, depth: int) -> Flags:
    """Return where an object is at least `depth` deep, or as deep as it gets."""
    squares = squared_distances(mask == 0, depth)
    deep: Flags = (squares == squares.max()) & (mask != 0)
    return deep


def _outside(
    window: Window,
    mask: Pixels,
    shown: Flags | None,
    nearest: int,
    farthest: int,
    *,
    within: bool = False,
) -> Flags:
    """Return where the distance from the object is from `nearest` to `farthest`.

    `within`: not `farthest` itself.
    """
    inside = window.cut(mask) != 0
    # What is farther than the reach counts as being just there.
    squares = squared_distances(inside, farthest if within else farthest + 1)
    last = farthest**2 - 1 if within else farthest**2
    outside: Flags = (squares >= nearest**2) & (squares <= last) & ~inside
    return outside if shown is None else outside & window.cut(shown)


def _apart(places: Flags, count: int, distance: int, rng: np.random.Generator) -> list[Click]:
    """Return at most `count` of the places, each drawn from those far enough from all before.

    Clears `places`. A list of all of them would be many times as large.
    """
    chosen: list[Click] = []
    while len(chosen) < count:
        so_far = np.cumsum(np.count_nonzero(places, axis=1))
        if not so_far[-1]:
            break
        drawn = int(rng.integers(so_far[-1]))
        row = int(np.searchsorted(so_far, drawn, side="right"))
        in_row = drawn - (int(so_far[row - 1]) if row else 0)
        chosen.append((row, int(np.flatnonzero(places[row])[in_row])))
        _clear(places, chosen[-1], distance)
    return chosen


def _clear(places: Flags, around: Click, distance: int) -> None:
    """Take away the places that are nearer than `distance`, and `around` itself."""
    disk = _disk(distance)
    radius = len(disk) // 2
    top, left = around[0] - radius, around[1] - radius
    rows = slice(max(0, top), max(0, top + len(disk)))
    columns = slice(max(0, left), max(0, left + len(disk)))
    part = places[rows, columns]
    down, right = rows.start - top, columns.start - left
    part &= ~disk[down : down + part.shape[0], right : right + part.shape[1]]


@cache
def _disk(distance: int) -> Flags:
    """Return which pixels are nearer to the middle one than `distance`; it always is."""
    offsets = np.arange(-max(0, distance - 1), max(1, distance)) ** 2
    disk: Flags = offsets[:, np.newaxis] + offsets < max(1, distance**2)
    return disk


def _in_picture(clicks: Iterable[Click], window: Window) -> list[Click]:
    return [(row + window.top, column + window.left) for row, column in clicks]
