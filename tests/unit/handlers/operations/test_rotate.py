import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations.crop import Window
from dataset_handlers.operations.rotate import inscribed_scale, rotated_positions
from dataset_handlers.sdk.errors import BadItemError

ANGLES = st.floats(-180, 180)
SIZES = st.tuples(st.integers(2, 300), st.integers(2, 300))


def rotated(pixels: np.ndarray, degrees: float, *, nearest: bool = True) -> np.ndarray:
    height, width = pixels.shape[:2]
    positions = rotated_positions((height, width), degrees, Window(0, 0, height, width))
    return positions.take(pixels, nearest=nearest)


def test_a_quarter_turn_is_counter_clockwise():
    pixels = np.arange(49, dtype=np.uint8).reshape(7, 7)
    assert np.array_equal(rotated(pixels, 90), np.rot90(pixels))


@pytest.mark.parametrize("nearest", [True, False])
def test_half_a_turn_is_exact(nearest):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 61, 3), np.uint8)
    assert np.array_equal(rotated(pixels, 180, nearest=nearest), pixels[::-1, ::-1])


def test_no_turn_changes_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 61), np.uint8)
    assert np.array_equal(rotated(pixels, 0, nearest=False), pixels)


def test_a_known_scale():
    # A square that is turned by 45 degrees holds a square of 1 / sqrt(2).
    assert inscribed_scale((100, 100), 45) == pytest.approx(1 / math.sqrt(2))
    # 2:1 turned by 90 degrees: half of the width fits into the height.
    assert inscribed_scale((100, 200), 90) == pytest.approx(0.5)


@settings(max_examples=50, deadline=None)
@given(size=SIZES, degrees=ANGLES)
def test_every_position_lies_within_the_image(size, degrees):
    positions = rotated_positions(size, degrees, Window(0, 0, *size))
    x = positions.whole[..., 0] + (positions.parts & 31) / 32
    y = positions.whole[..., 1] + (positions.parts >> 5) / 32
    # Up to half a pixel (the outer half of the edge pixels) and the rounding to 1/32.
    assert x.min() >= -0.54 and x.max() <= size[1] - 0.46
    assert y.min() >= -0.54 and y.max() <= size[0] - 0.46


@settings(max_examples=50, deadline=None)
@given(degrees=st.floats(1, 179))
def test_there_are_no_black_corners(degrees):
    assert rotated(np.full((30, 50), 200, np.uint8), degrees, nearest=False).min() == 200


@settings(max_examples=30, deadline=None)
@given(size=SIZES, degrees=ANGLES, data=st.data())
def test_a_window_is_a_part_of_the_whole(size, degrees, data):
    top = data.draw(st.integers(0, size[0] - 1))
    left = data.draw(st.integers(0, size[1] - 1))
    window = Window(top, left, size[0] - top, size[1] - left)
    whole = rotated_positions(size, degrees, Window(0, 0, *size))
    part = rotated_positions(size, degrees, window)
    assert np.array_equal(part.whole, whole.whole[top:, left:])
    assert np.array_equal(part.parts, whole.parts[top:, left:])


def test_a_side_beyond_16_bits_is_a_bad_item():
    with pytest.raises(BadItemError, match="too large to be rotated"):
        rotated_positions((1, 40_000), 10, Window(0, 0, 1, 10))


@settings(max_examples=30, deadline=None)
@given(degrees=st.floats(-180, 180))
def test_each_pixel_is_where_the_formula_says(degrees):
    """A slope stays a slope: of it, each pixel's value tells where it comes from."""
    size = (80, 120)
    down, right = np.mgrid[: size[0], : size[1]].astype(float)
    turn = np.radians(degrees)
    scale = inscribed_scale(size, degrees)
    from_right = scale * (np.cos(turn) * (right - 59.5) - np.sin(turn) * (down - 39.5)) + 59.5
    from_down = scale * (np.sin(turn) * (right - 59.5) + np.cos(turn) * (down - 39.5)) + 39.5
    for slope, expected in ((2 * right, 2 * from_right), (3 * down, 3 * from_down)):
        expected = np.clip(expected, 0, slope.max())  # beyond the outer centres
        found = rotated(slope.astype(np.uint8), degrees, nearest=False)
        # Positions are rounded to 1/32 pixel, values to whole ones.
        assert np.abs(found - expected).max() <= 0.5 + 3 / 32
