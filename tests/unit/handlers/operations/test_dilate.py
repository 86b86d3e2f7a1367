import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dataset_handlers.operations.dilate import dilate

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))


def by_every_distance(mask: np.ndarray, radius: int) -> np.ndarray:
    """Compare each pixel with each marked one."""
    down, right = np.indices(mask.shape)
    near = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        near |= (down - row) ** 2 + (right - column) ** 2 <= radius**2
    return near


@settings(deadline=None)
@given(mask=masks, radius=st.integers(0, 12))
def test_the_nearest_marked_pixel_decides(mask, radius):
    assert np.array_equal(dilate(mask, radius), by_every_distance(mask, radius))


@pytest.mark.parametrize("radius", [1, 70, 254, 255, 300])
def test_pictures_of_more_rows_than_are_done_at_once(radius):
    mask = np.random.default_rng(radius).random((330, 40)) < 0.001
    assert mask.any()
    assert np.array_equal(dilate(mask, radius), by_every_distance(mask, radius))


def test_a_disc():
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert ["".join(".#"[each] for each in row) for row in dilate(mask, 2).tolist()] == [
        "..#..",
        ".###.",
        "#####",
        ".###.",
        "..#..",
    ]


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="negative"):
        dilate(np.zeros((1, 1), bool), -1)
