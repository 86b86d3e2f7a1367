from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from dataset_handlers.operations.contrast import change_contrast
from tests.unit.handlers.operations.colours import GREYS, PICTURES, SOME, is_rounded, pictures


def changed(pixels: np.ndarray, factor: float) -> np.ndarray:
    """m + factor (v - m), with the mean luma m as a fraction."""
    weights = (114, 587, 299) if pixels.ndim == 3 else (1000,)
    values = pixels.reshape(-1, len(weights)).tolist()
    total = sum(w * v for pixel in values for w, v in zip(weights, pixel, strict=True))
    mean = float(Fraction(total, 1000 * len(values)))
    return mean + factor * (pixels - mean)


@settings(max_examples=80, deadline=None)
@given(pixels=pictures(), factor=st.floats(0, 3))
def test_distances_from_the_mean_luma_are_multiplied(pixels, factor):
    assert is_rounded(change_contrast(pixels, factor), changed(pixels, factor))


@pytest.mark.parametrize("pixels", PICTURES)
def test_one_changes_nothing(pixels):
    assert np.array_equal(change_contrast(pixels, 1), pixels)


def test_zero_leaves_the_mean():
    assert (change_contrast(GREYS, 0) == 128).all()  # 127.5, rounded to even


def test_ends_are_cut_off():
    assert set(np.unique(change_contrast(GREYS, 1e6))) == {0, 255}


def test_it_is_what_pillow_does():
    image = Image.fromarray(SOME[..., ::-1].copy())
    expected = np.asarray(ImageEnhance.Contrast(image).enhance(1.4)).astype(int)
    # Pillow rounds the mean, and cuts off after the point.
    assert np.abs(change_contrast(SOME, 1.4)[..., ::-1] - expected).max() <= 1


def test_nothing_is_changed_in_place():
    pixels = SOME.copy()
    change_contrast(pixels, 2)
    assert np.array_equal(pixels, SOME)


def test_a_negative_factor_is_an_error():
    with pytest.raises(ValueError, match=r"the factor -0.1 is negative"):
        change_contrast(GREYS, -0.1)
