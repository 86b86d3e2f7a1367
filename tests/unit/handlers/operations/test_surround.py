from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dataset_handlers.operations.surround import surround

alphas = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.sampled_from([0, 0, 0, 1, 255]),
)


def ring_by_ring(foreground: np.ndarray, alpha: np.ndarray, radius: int) -> np.ndarray:
    """Pixel by pixel, in fractions."""
    result, known = foreground.astype(int), alpha > 0
    for _ in range(radius):
        before = known.copy()
        for row, column in np.argwhere(~before):
            around = np.s_[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            colours = result[around][before[around]]
            if len(colours):
                means = [Fraction(int(total), len(colours)) for total in colours.sum(axis=0)]
                result[row, column] = [int(mean + Fraction(1, 2)) for mean in means]
                known[row, column] = True
    return result


@settings(deadline=None)
@given(alpha=alphas, radius=st.integers(0, 4), seed=st.integers(0, 99))
def test_each_ring_takes_the_mean_of_what_is_known(alpha, radius, seed):
    foreground = np.random.default_rng(seed).integers(0, 256, (*alpha.shape, 3), np.uint8)
    before = foreground.copy()
    made = surround(foreground, alpha, radius)
    assert np.array_equal(made, ring_by_ring(foreground, alpha, radius))
    assert np.array_equal(foreground, before)
    assert np.array_equal(made[alpha > 0], foreground[alpha > 0])


def test_no_farther_than_asked():
    foreground, alpha = np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)
    foreground[4, 4], alpha[4, 4] = (10, 20, 30), 255
    made = surround(foreground, alpha, 2)
    assert (made[2:7, 2:7] == (10, 20, 30)).all()
    assert made.any(axis=2).sum() == 25


def test_what_is_spare_takes_the_result():
    foreground, alpha = np.zeros((3, 3, 3), np.uint8), np.eye(3, dtype=np.uint8)
    foreground[...] = 7
    assert surround(foreground, alpha, 1, spare=True) is foreground


def test_nothing_around_nothing():
    foreground = np.full((3, 3, 3), 7, np.uint8)
    assert np.array_equal(surround(foreground, np.zeros((3, 3), np.uint8), 3), foreground)
