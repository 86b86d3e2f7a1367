from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_handlers.operations.zoom import random_zoom

sides = st.integers(1, 400)
factors = st.floats(1, 16)


@given(
    size=st.tuples(sides, sides),
    frame=st.tuples(sides, sides),
    zoom=st.tuples(factors, factors).map(lambda pair: (min(pair), max(pair))),
    seed=st.integers(0, 100),
)
def test_the_window_lies_in_the_picture_and_is_as_large_as_asked(size, frame, zoom, seed):
    window = random_zoom(size, frame, zoom, np.random.default_rng(seed))
    assert 0 <= window.top <= window.top + window.height <= size[0]
    assert 0 <= window.left <= window.left + window.width <= size[1]
    assert window.height >= 1 and window.width >= 1
    # The frame, shrunk until it fits, and then by the zoom.
    fits = min(Fraction(size[0], frame[0]), Fraction(size[1], frame[1]))
    for got, side in zip((window.height, window.width), frame, strict=True):
        largest = side * fits
        assert largest / Fraction(zoom[1]) - 1.5 <= got <= largest / Fraction(zoom[0]) + 1.5


def test_at_one_it_is_the_largest():
    window = random_zoom((100, 300), (50, 50), (1.0, 1.0), np.random.default_rng(0))
    assert (window.height, window.width, window.top) == (100, 100, 0)


def test_every_size_and_place_comes_up():
    rng = np.random.default_rng(0)
    windows = {random_zoom((8, 8), (4, 4), (1.0, 2.0), rng) for _ in range(3000)}
    # Of a side n there are 9 - n places either way.
    assert len(windows) == sum((9 - side) ** 2 for side in range(4, 9))


@pytest.mark.parametrize("zoom", [(1.0, 1.0), (2.0, 2.0)])
def test_one_zoom_draws_the_place_alone(zoom):
    rng, places = np.random.default_rng(3), np.random.default_rng(3)
    window = random_zoom((64, 80), (32, 32), zoom, rng)
    room_down, room_right = 64 - window.height, 80 - window.width
    expected = (int(places.integers(room_down + 1)), int(places.integers(room_right + 1)))
    assert (window.top, window.left) == expected
