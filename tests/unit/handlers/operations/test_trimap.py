import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dataset_handlers.operations.trimap import trimap

alphas = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.sampled_from([0, 0, 1, 128, 254, 255, 255]),
)


def test_a_hard_edge():
    alpha = np.array([[0] * 5 + [255] * 5], np.uint8)
    assert trimap(alpha, 0).tolist() == [[0] * 5 + [255] * 5]
    assert trimap(alpha, 2).tolist() == [[0] * 3 + [128] * 4 + [255] * 3]


def test_a_soft_edge():
    alpha = np.array([[0, 0, 1, 128, 254, 255, 255]], np.uint8)
    assert trimap(alpha, 0).tolist() == [[0, 0, 128, 128, 128, 255, 255]]
    assert trimap(alpha, 1).tolist() == [[0, 128, 128, 128, 128, 128, 255]]


@settings(deadline=None)
@given(alpha=alphas, width=st.integers(0, 5))
def test_what_is_known_is_surrounded_by_its_own_kind(alpha, width):
    made = trimap(alpha, width)
    down, right = np.indices(alpha.shape)
    for row, column in np.ndindex(alpha.shape):
        around = alpha[(down - row) ** 2 + (right - column) ** 2 <= width**2]
        expected = 0 if (around == 0).all() else 255 if (around == 255).all() else 128
        assert made[row, column] == expected


def test_all_of_one_kind_has_no_band():
    assert not trimap(np.zeros((4, 4), np.uint8), 3).any()
    assert (trimap(np.full((4, 4), 255, np.uint8), 3) == 255).all()
