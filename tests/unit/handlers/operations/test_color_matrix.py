import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations.color_matrix import mix_channels
from tests.unit.handlers.operations.colours import PICTURES, SOME


def mixed(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """By integers of Python's, which do not overflow."""
    weights = [[round(value * 65536) for value in row] for row in matrix.tolist()]
    flat = [
        [
            min(255, max(0, (sum(w * v for w, v in zip(row, pixel, strict=True)) + 32768) >> 16))
            for row in weights
        ]
        for pixel in pixels.reshape(-1, 3).tolist()
    ]
    return np.array(flat, np.uint8).reshape(pixels.shape)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    values=st.lists(st.floats(-32, 32) | st.floats(-1, 1), min_size=9, max_size=9),
    seed=st.integers(0, 2**32),
)
def test_it_is_the_product_in_integers(rows, values, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.choice(np.array([0, 1, 77, 128, 254, 255], np.uint8), (rows, 3, 3))
    matrix = np.reshape(values, (3, 3))
    assert np.array_equal(mix_channels(pixels, matrix), mixed(pixels, matrix))


@pytest.mark.parametrize("pixels", [pixels for pixels in PICTURES if pixels.ndim == 3])
def test_one_leaves_all_as_it_is(pixels):
    assert np.array_equal(mix_channels(pixels, np.eye(3)), pixels)


def test_rows_of_the_matrix_are_what_comes_out():
    blue_is_red = np.array([[0, 0, 1], [0, 0, 0], [0, 0.5, 0]])
    assert mix_channels(np.array([[[1, 100, 200]]], np.uint8), blue_is_red).tolist() == [
        [[200, 0, 50]]
    ]


@pytest.mark.parametrize(("weight", "expected"), [(32, 255), (-32, 0)])
def test_the_largest_weights_do_not_overflow(weight, expected):
    white = np.full((2, 2, 3), 255, np.uint8)
    assert (mix_channels(white, np.full((3, 3), weight)) == expected).all()


@pytest.mark.parametrize("weight", [32.01, -33, np.inf])
def test_larger_weights_are_refused(weight):
    matrix = np.eye(3)
    matrix[1, 2] = weight
    with pytest.raises(ValueError, match="weights above 32"):
        mix_channels(SOME, matrix)


def test_nothing_is_changed_in_place():
    pixels = SOME.copy()
    mix_channels(pixels, np.full((3, 3), 0.3))
    assert np.array_equal(pixels, SOME)
