import numpy as np
import pytest

from dataset_handlers.operations.flip import flip_horizontally
from tests.unit.handlers.operations.colours import PICTURES


def test_left_and_right_are_exchanged():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(flip_horizontally(pixels), pixels[:, ::-1])


def test_views_are_flipped_too():
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    assert flip_horizontally(pixels[1:3, 2:5]).tolist() == [[10, 9, 8], [16, 15, 14]]


@pytest.mark.parametrize("pixels", PICTURES)
def test_twice_is_as_before_and_nothing_is_changed_in_place(pixels):
    before = pixels.copy()
    flipped = flip_horizontally(pixels)
    assert np.array_equal(pixels, before)
    assert not np.shares_memory(flipped, pixels)
    assert np.array_equal(flip_horizontally(flipped), before)
