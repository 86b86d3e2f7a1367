import numpy as np
import pytest
from hypothesis import given, settings

from dataset_handlers.operations.standardize import standardize, statistics_of
from tests.unit.handlers.operations.colours import GREYS, SOME, pictures


@settings(max_examples=80, deadline=None)
@given(pixels=pictures())
def test_mean_and_deviation_are_those_of_all_values(pixels):
    values = pixels.astype(np.float64)
    mean, deviation = statistics_of(pixels)
    assert mean == pytest.approx(values.mean(), abs=1e-9)
    assert deviation == pytest.approx(max(values.std(), values.size**-0.5), abs=1e-9)
    expected = (values - values.mean()) / max(values.std(), values.size**-0.5)
    found = standardize(pixels)
    assert (found.dtype, found.shape) == (np.float32, pixels.shape)
    assert np.allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pixels", [GREYS, SOME, SOME[3:9, 2:20]])
def test_the_result_has_mean_0_and_deviation_1(pixels):
    found = standardize(pixels).astype(np.float64)
    assert abs(found.mean()) < 1e-6 and found.std() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_what_is_even_becomes_0(value):
    pixels = np.full((5, 5, 4), value, np.uint8)
    assert statistics_of(pixels) == (value, 0.1)  # 1 / sqrt(100)
    assert not standardize(pixels).any()


def test_ends_of_the_range():
    pixels = np.array([[0, 255]], np.uint8)
    assert statistics_of(pixels) == (127.5, 127.5)
    assert standardize(pixels).tolist() == [[-1, 1]]


def test_large_pictures_do_not_overflow():
    white = np.full((3000, 3000), 255, np.uint8)
    assert statistics_of(white) == (255, 1 / 3000)


def test_channels_that_come_in_reverse():
    """The result is in the order that was given, ready to be written as it lies."""
    turned = standardize(SOME[..., ::-1])
    assert turned.flags.c_contiguous
    assert np.array_equal(turned, standardize(SOME)[..., ::-1])


def test_nothing_is_changed_in_place():
    pixels = SOME.copy()
    standardize(pixels)
    assert np.array_equal(pixels, SOME)
