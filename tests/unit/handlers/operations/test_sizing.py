import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations.sizing import inner_size, sizing

SIDES = st.integers(1, 300)
SIZES = st.tuples(SIDES, SIDES)


def test_stretch_changes_the_proportions():
    assert sizing((10, 20), (8, 8), "stretch").apply(np.zeros((10, 20, 3), np.uint8)).shape == (
        *(8, 8),
        3,
    )


def test_fit_has_bars_above_and_below_a_wide_picture():
    picture = np.full((10, 20), 200, np.uint8)
    fitted = sizing((10, 20), (8, 8), "fit").apply(picture, value=9)
    assert fitted[:, 0].tolist() == [9, 9, 200, 200, 200, 200, 9, 9]
    assert (fitted == fitted[:, :1]).all()


def test_fill_cuts_the_sides_of_a_wide_picture_off():
    picture = np.repeat(np.arange(20, dtype=np.uint8)[np.newaxis], 10, axis=0)
    assert sizing((10, 20), (10, 10), "fill").apply(picture)[0].tolist() == list(range(5, 15))


@pytest.mark.parametrize("size", [(4, 4), (9, 9), (4, 9), (9, 4), (6, 7), (7, 8)])
def test_crop_or_pad_keeps_every_pixel(size):
    """As tf.image.resize_with_crop_or_pad: an odd pixel is cut off, or added, at the end."""
    picture = np.arange(1, 43, dtype=np.uint8).reshape(6, 7)
    expected = np.zeros(size, np.uint8)
    for row, column in np.ndindex(*size):
        down = row + (6 - size[0]) // 2 if size[0] <= 6 else row - (size[0] - 6) // 2
        right = column + (7 - size[1]) // 2 if size[1] <= 7 else column - (size[1] - 7) // 2
        if 0 <= down < 6 and 0 <= right < 7:
            expected[row, column] = picture[down, right]
    assert np.array_equal(sizing((6, 7), size, "crop_or_pad").apply(picture), expected)


def test_bars_of_a_mask_are_0():
    mask = np.full((10, 20), 7, np.uint8)
    assert set(np.unique(sizing((10, 20), (9, 9), "fit").apply(mask, mask=True))) == {0, 7}


def test_no_size_leaves_the_picture_as_it_is():
    picture = np.zeros((3, 5, 3), np.uint8)
    assert np.shares_memory(sizing((3, 5), None, "fit").apply(picture), picture)


@given(source=SIZES, size=SIZES)
def test_fit_lies_within_and_fill_around(source, size):
    height, width = inner_size(source, size, "fit")
    assert height <= size[0] and width <= size[1]
    assert height == size[0] or width == size[1]
    height, width = inner_size(source, size, "fill")
    assert height >= size[0] and width >= size[1]
    assert height == size[0] or width == size[1]


@given(source=SIZES, size=SIZES, mode=st.sampled_from(["fit", "fill"]))
def test_proportions_stay_to_within_half_a_pixel(source, size, mode):
    height, width = inner_size(source, size, mode)
    by_height = abs(width - max(1, source[1] * height / source[0]))
    by_width = abs(height - max(1, source[0] * width / source[1]))
    assert min(by_height, by_width) <= 0.5


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(40, 120), st.integers(40, 120)),
    size=st.tuples(st.integers(30, 90), st.integers(30, 90)),
    mode=st.sampled_from(["stretch", "fit", "fill", "crop_or_pad"]),
    data=st.data(),
)
def test_a_point_stays_on_its_pixel(source, size, mode, data):
    down, right = (data.draw(st.integers(3, side - 4)) for side in source)
    picture = np.zeros(source, np.uint8)
    picture[down - 3 : down + 4, right - 3 : right + 4] = 255
    frame = sizing(source, size, mode)
    shown = frame.apply(picture)
    moved = frame.move(np.array([[down + 0.5, right + 0.5]]))[0]
    if all(2 <= at <= side - 2 for at, side in zip(moved, size, strict=True)):
        centre = np.array(np.nonzero(shown > 127)).mean(axis=1) + 0.5
        if shown[0].any() or shown[-1].any() or shown[:, 0].any() or shown[:, -1].any():
            return  # a part of the spot is cut off, its middle is elsewhere
        assert centre == pytest.approx(moved, abs=0.75)


def test_the_picture_may_have_been_decoded_reduced():
    picture = np.zeros((50, 100), np.uint8)
    assert sizing((100, 200), (40, 40), "fit").apply(picture).shape == (40, 40)
