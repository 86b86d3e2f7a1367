import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from dataset_handlers.operations.saturation import saturate
from tests.unit.handlers.operations.colours import (
    GREYS,
    SOME,
    grey_as_colour,
    is_rounded,
    pictures,
)

BLUE_GREEN_RED = np.array([0.114, 0.587, 0.299])


@settings(max_examples=80, deadline=None)
@given(pixels=pictures().filter(lambda pixels: pixels.ndim == 3), factor=st.floats(0, 32))
def test_distances_from_luma_are_multiplied(pixels, factor):
    luma = (pixels @ BLUE_GREEN_RED)[..., np.newaxis]
    # Weights are rounded to 1/65536.
    assert is_rounded(saturate(pixels, factor), luma + factor * (pixels - luma), slack=0.01)


def test_zero_is_grey():
    grey = saturate(SOME, 0)
    assert np.ptp(grey, axis=2).max() == 0
    assert is_rounded(grey[..., 0], SOME @ BLUE_GREEN_RED, slack=0.01)


def test_one_changes_nothing():
    assert np.array_equal(saturate(SOME, 1), SOME)


@pytest.mark.parametrize("factor", [0, 0.37, 1, 2, 32])
def test_grey_stays(factor):
    assert np.array_equal(saturate(grey_as_colour(), factor), grey_as_colour())
    assert saturate(GREYS, factor) is GREYS


@pytest.mark.parametrize("factor", [0.4, 1.6])
def test_it_is_what_pillow_does(factor):
    image = Image.fromarray(SOME[..., ::-1].copy())
    expected = np.asarray(ImageEnhance.Color(image).enhance(factor)).astype(int)
    # Pillow rounds the luma, and cuts off after the point.
    assert np.abs(saturate(SOME, factor)[..., ::-1] - expected).max() <= 1


def test_nothing_is_changed_in_place():
    pixels = SOME.copy()
    saturate(pixels, 2)
    assert np.array_equal(pixels, SOME)


@pytest.mark.parametrize("factor", [-0.1, 32.1])
def test_other_factors_are_errors(factor):
    with pytest.raises(ValueError, match="is not from 0 to 32"):
        saturate(SOME, factor)
