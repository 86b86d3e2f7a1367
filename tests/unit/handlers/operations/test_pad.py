import numpy as np
import pytest

from dataset_handlers.operations.pad import pad


def test_an_odd_pixel_goes_to_the_bottom_and_right():
    assert pad(np.ones((1, 1), np.uint8), (2, 4), 9).tolist() == [[9, 1, 9, 9], [9, 9, 9, 9]]


def test_channels_and_type_stay():
    padded = pad(np.ones((2, 2, 3), np.uint16), (4, 4))
    assert (padded.shape, padded.dtype) == ((4, 4, 3), np.uint16)


def test_the_same_size_is_no_copy():
    pixels = np.ones((2, 2), np.uint8)
    assert pad(pixels, (2, 2)) is pixels


def test_a_larger_picture_is_refused():
    with pytest.raises(ValueError, match="can't be padded"):
        pad(np.ones((5, 1), np.uint8), (4, 4))
