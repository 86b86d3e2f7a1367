import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dataset_handlers.operations.distances import FARTHEST, distance_map, squared_distances


def brute_force(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Squared distance of each pixel to the nearest point; very far without any."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    squares = np.full(size, 10**9)
    for row, column in points.tolist():
        squares = np.minimum(squares, (rows - row) ** 2 + (columns - column) ** 2)
    return squares


@settings(max_examples=150, deadline=None)
@given(
    seeds=arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=2, max_side=90),
        elements=st.sampled_from([0, 0, 0, 0, 255]),
        fill=st.just(0),
    ),
    reach=st.integers(0, FARTHEST),
)
def test_squares_equal_brute_force(seeds, reach):
    expected = np.minimum(brute_force(np.argwhere(seeds), seeds.shape), reach**2)
    assert np.array_equal(squared_distances(seeds, reach), expected)


def test_the_farthest_distance_has_room_in_sixteen_bits():
    seeds = np.zeros((400, 400), bool)
    seeds[200, 200] = True
    expected = np.minimum(brute_force(np.argwhere(seeds), seeds.shape), FARTHEST**2)
    assert np.array_equal(squared_distances(seeds, FARTHEST), expected)
    with pytest.raises(ValueError):
        squared_distances(seeds, FARTHEST + 1)


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_maps_equal_brute_force(data, size):
    place = st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1))
    points = np.array(data.draw(st.lists(place, max_size=6)), np.int64).reshape(-1, 2)
    found = distance_map(points, size)
    expected = np.minimum(np.rint(np.sqrt(brute_force(points, size))), 255)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_a_map_without_clicks_is_far_everywhere():
    assert (distance_map(np.empty((0, 2), np.int64), (3, 4)) == 255).all()
