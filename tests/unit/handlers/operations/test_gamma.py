import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_handlers.operations.gamma import change_gamma
from tests.unit.handlers.operations.colours import GREYS, PICTURES, SOME, is_rounded


@given(gamma=st.floats(0.05, 8))
def test_it_is_a_power_of_the_share(gamma):
    expected = np.reshape([255 * (value / 255) ** gamma for value in range(256)], GREYS.shape)
    assert is_rounded(change_gamma(GREYS, gamma), expected)


@pytest.mark.parametrize("gamma", [1e-9, 0.2, 1, 5, 1000])
def test_black_and_white_stay(gamma):
    assert change_gamma(np.array([[0, 255]], np.uint8), gamma).tolist() == [[0, 255]]


def test_below_1_is_lighter():
    assert change_gamma(np.array([[64]], np.uint8), 0.5).tolist() == [[128]]
    assert change_gamma(np.array([[64]], np.uint8), 2).tolist() == [[16]]


@pytest.mark.parametrize("pixels", PICTURES)
def test_one_changes_nothing(pixels):
    assert np.array_equal(change_gamma(pixels, 1), pixels)


def test_channels_alike_and_nothing_in_place():
    pixels = SOME.copy()
    found = change_gamma(pixels, 1.7)
    assert np.array_equal(pixels, SOME)
    assert np.array_equal(found, change_gamma(GREYS, 1.7).ravel()[SOME])


@pytest.mark.parametrize("gamma", [0, -1])
def test_up_to_0_is_an_error(gamma):
    with pytest.raises(ValueError, match="is not positive"):
        change_gamma(GREYS, gamma)
