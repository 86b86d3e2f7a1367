import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations.hue import turn_hue
from tests.unit.handlers.operations.colours import (
    GREYS,
    SOME,
    grey_as_colour,
    is_rounded,
    pictures,
)


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Chroma as a complex number, and back by solving for what it came from."""
    blue, green, red = np.moveaxis(pixels.astype(float), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    i, q = 0.74 * (red - luma) - 0.27 * (blue - luma), 0.48 * (red - luma) + 0.41 * (blue - luma)
    chroma = (i + 1j * q) * np.exp(-1j * np.radians(degrees))
    from_red, from_blue = np.linalg.solve(
        [[0.74, -0.27], [0.48, 0.41]], np.stack([chroma.real.ravel(), chroma.imag.ravel()])
    )
    red, blue = luma + from_red.reshape(luma.shape), luma + from_blue.reshape(luma.shape)
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return np.dstack([blue, green, red])


@settings(max_examples=80, deadline=None)
@given(pixels=pictures().filter(lambda pixels: pixels.ndim == 3), degrees=st.floats(-360, 360))
def test_chroma_is_turned(pixels, degrees):
    # Weights are rounded to 1/65536.
    assert is_rounded(turn_hue(pixels, degrees), turned(pixels, degrees), slack=0.01)


@pytest.mark.parametrize("degrees", [-180, -33.3, 0, 90, 180])
def test_grey_stays(degrees):
    assert np.array_equal(turn_hue(grey_as_colour(), degrees), grey_as_colour())
    assert turn_hue(GREYS, degrees) is GREYS


@pytest.mark.parametrize(("degrees", "hue"), [(0, 0), (60, 60), (120, 120), (-120, 240)])
def test_it_turns_as_hsv_does_from_red_to_yellow(degrees, hue):
    red = np.full((1, 1, 3), (80, 80, 160), np.uint8)
    found = colorsys.rgb_to_hsv(*turn_hue(red, degrees)[0, 0, ::-1] / 255)[0] * 360
    # The circles of HSV and of Y'IQ are divided differently.
    assert abs((found - hue + 180) % 360 - 180) < 25


def test_luma_stays():
    soft = (100 + SOME // 8).astype(np.uint8)  # so that nothing is cut off
    luma, after = (
        pixels @ np.array([0.114, 0.587, 0.299]) for pixels in (soft, turn_hue(soft, 77))
    )
    assert np.abs(luma - after).max() < 0.51


@pytest.mark.parametrize("degrees", [0, 360, -720])
def test_a_full_turn_changes_nothing(degrees):
    assert np.array_equal(turn_hue(SOME, degrees), SOME)


def test_nothing_is_changed_in_place():
    pixels = SOME.copy()
    turn_hue(pixels, 90)
    assert np.array_equal(pixels, SOME)
