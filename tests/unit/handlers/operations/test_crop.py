from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_handlers.operations.crop import (
    Window,
    centred_window,
    random_centred_window,
    random_window,
)
from dataset_handlers.sdk.errors import BadItemError

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))


def test_the_centre_window():
    assert centred_window((1024, 1000), (800, 700)) == Window(112, 150, 800, 700)


def test_an_odd_pixel_is_left_over_at_the_end():
    assert centred_window((10, 11), (7, 8)) == Window(1, 1, 7, 8)


def test_cut_takes_rows_then_columns():
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    assert Window(1, 2, 2, 3).cut(pixels).tolist() == [[7, 8, 9], [12, 13, 14]]


def test_random_windows_are_triangular_around_the_centre():
    rng = np.random.default_rng(0)
    tops = Counter(random_centred_window((12, 10), (8, 10), rng).top for _ in range(5000))
    # Probabilities of 0 … 4 under the triangular density on five equal parts.
    expected = [0.08, 0.24, 0.36, 0.24, 0.08]
    assert sorted(tops) == [0, 1, 2, 3, 4]
    for top, share in enumerate(expected):
        assert tops[top] / 5000 == pytest.approx(share, abs=0.03)


def test_rows_and_columns_are_independent():
    rng = np.random.default_rng(0)
    windows = [random_centred_window((200, 200), (100, 100), rng) for _ in range(2000)]
    tops, lefts = [w.top for w in windows], [w.left for w in windows]
    assert abs(np.corrcoef(tops, lefts)[0, 1]) < 0.07
    assert all(0 <= w.top <= 100 and 0 <= w.left <= 100 for w in windows)


@pytest.mark.parametrize(
    "window",
    [
        centred_window,
        lambda *sizes: random_centred_window(*sizes, np.random.default_rng()),
        lambda *sizes: random_window(*sizes, np.random.default_rng()),
    ],
)
def test_an_image_that_is_too_small_is_a_bad_item(window):
    with pytest.raises(BadItemError, match=r"the image is \[321, 481\], .* \[400, 400\]"):
        window((321, 481), (400, 400))


def test_random_windows_are_anywhere_as_often():
    rng = np.random.default_rng(0)
    windows = [random_window((12, 30), (8, 28), rng) for _ in range(6000)]
    places = Counter((window.top, window.left) for window in windows)
    assert sorted(places) == [(top, left) for top in range(5) for left in range(3)]
    for times in places.values():
        assert times / 6000 == pytest.approx(1 / 15, abs=0.015)


@given(size=SIZES, share=st.tuples(st.floats(0, 1), st.floats(0, 1)), seed=st.integers(0, 99))
def test_every_window_lies_within(size, share, seed):
    crop = tuple(max(1, round(side * part)) for side, part in zip(size, share, strict=True))
    for window in (
        centred_window(size, crop),
        random_centred_window(size, crop, np.random.default_rng(seed)),
        random_window(size, crop, np.random.default_rng(seed)),
    ):
        assert window.top >= 0 and window.top + window.height <= size[0]
        assert window.left >= 0 and window.left + window.width <= size[1]
        assert (window.height, window.width) == crop
        assert window.cut(np.empty(size, np.uint8)).shape == crop
