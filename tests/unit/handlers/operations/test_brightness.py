import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_handlers.operations.brightness import brighten
from tests.unit.handlers.operations.colours import PICTURES, is_rounded, pictures


def test_values_are_multiplied_rounded_and_limited():
    pixels = np.array([[0, 1, 100, 170, 255]], np.uint8)
    assert brighten(pixels, 1.5).tolist() == [[0, 2, 150, 255, 255]]


def test_every_channel_alike():
    pixels = np.full((2, 2, 3), (10, 20, 30), np.uint8)
    assert brighten(pixels, 0.5)[0, 0].tolist() == [5, 10, 15]


def test_zero_is_black():
    assert not brighten(np.full((2, 2), 255, np.uint8), 0).any()


def test_a_negative_factor_is_an_error():
    with pytest.raises(ValueError, match="negative"):
        brighten(np.zeros((1, 1), np.uint8), -0.1)


def test_pixels_to_spare_take_the_result():
    pixels = np.random.default_rng(0).integers(0, 256, (61, 47, 3), np.uint8)
    kept = pixels.copy()
    expected = brighten(pixels, 1.3)
    assert np.array_equal(pixels, kept)
    assert np.array_equal(brighten(pixels, 1.3, spare=True), expected)
    assert np.array_equal(pixels, expected)


@given(pixels=pictures(), factor=st.floats(0, 300))
def test_it_is_a_product(pixels, factor):
    assert is_rounded(brighten(pixels, factor), pixels * factor)


@pytest.mark.parametrize("pixels", PICTURES)
def test_one_changes_nothing(pixels):
    assert np.array_equal(brighten(pixels, 1), pixels)
