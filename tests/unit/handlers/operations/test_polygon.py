import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from dataset_handlers.operations.polygon import polygon_runs


def mask_of(polygon: list[float], size: tuple[int, int]) -> np.ndarray:
    runs = polygon_runs(np.array(polygon, float).reshape(-1, 2), size)
    return np.repeat(np.arange(len(runs)) % 2, runs).reshape(size[1], size[0]).T


def reference(polygon: list[float], size: tuple[int, int]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy's
        return coco_mask.decode(coco_mask.frPyObjects([polygon], *size))[..., 0]


def test_a_rectangle_covers_its_pixels():
    expected = np.zeros((8, 10), int)
    expected[2:5, 3:7] = 1
    assert np.array_equal(mask_of([3, 2, 7, 2, 7, 5, 3, 5], (8, 10)), expected)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), height=st.integers(1, 50), width=st.integers(1, 50))
def test_it_is_pycocotools_mask_pixel_for_pixel(data, height, width):
    """On x86-64, whose compilers don't fuse additions and products."""
    numbers = (
        st.floats(-20, 70, width=32)
        | st.integers(0, 50)
        | st.integers(0, 100).map(lambda half: half / 2)
    )
    # Four numbers would be a box for pycocotools.
    points = data.draw(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=12))
    polygon = [float(value) for point in points for value in point]
    size = height, width
    assert np.array_equal(mask_of(polygon, size), reference(polygon, size))


@pytest.mark.parametrize("sides", [3, 60])
def test_large_polygons_are_pycocotools_too(sides):
    rng = np.random.default_rng(sides)
    for _ in range(20):
        polygon = (rng.random(2 * sides) * 700).round(2).tolist()
        assert np.array_equal(mask_of(polygon, (480, 640)), reference(polygon, (480, 640)))
