"""Pictures that hold every grey, every primary and much between, and what exact results are."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

GREYS = np.arange(256, dtype=np.uint8).reshape(8, 32)
"""Every value once."""

SOME = np.random.default_rng(0).integers(0, 256, (67, 41, 3), np.uint8)
SOME[:2, :4] = np.array(
    [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)], np.uint8
)  # and blue's ends
SOME[2, :3] = [(0, 0, 255), (0, 255, 255), (255, 255, 0)]

PICTURES = [GREYS, SOME, SOME[3:50, 5:30], SOME[::-1, ::-1, ::-1]]
"""Grey, colour, a window of a picture, and one whose memory is backwards."""


def grey_as_colour() -> np.ndarray:
    return np.repeat(GREYS[..., np.newaxis], 3, axis=2)


def is_rounded(found: np.ndarray, exact: np.ndarray, slack: float = 1e-5) -> bool:
    """Whether `found` is `exact` cut off at 0 and 255 and rounded; ties may go either way."""
    assert found.dtype == np.uint8
    return bool(np.abs(found - np.clip(exact, 0, 255)).max() <= 0.5 + slack)


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Small pictures, grey and colour, of values at the ends more often than by chance."""
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 9)))
    shape = (*size, 3) if draw(st.booleans()) else size
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.integers(0, 256, shape, np.uint8)
    return np.where(rng.random(shape) < 0.3, np.where(values > 127, 255, 0), values).astype(
        np.uint8
    )
