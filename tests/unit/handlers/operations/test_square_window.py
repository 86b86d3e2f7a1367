import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations.mask_box import PixelBox
from dataset_handlers.operations.square_window import SquareWindow, square_window


@st.composite
def boxes_in_pictures(draw: st.DrawFn) -> tuple[PixelBox, tuple[int, int]]:
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    top, left = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    bottom, right = draw(st.integers(top + 1, size[0])), draw(st.integers(left + 1, size[1]))
    return PixelBox(top, left, bottom, right), size


def by_trying_each(first: int, end: int, side: int, length: int) -> int:
    """The start nearest to the box in the centre, of those where most of the picture is seen."""

    def seen(start: int) -> int:
        return min(start + side, length) - max(start, 0)

    starts = range(-side, length + 1)
    most = max(map(seen, starts))
    # Twice the distance of centres; of two as near, the upper or left one.
    return min((abs(2 * s + side - first - end), s) for s in starts if seen(s) == most)[1]


@settings(max_examples=300, deadline=None)
@given(given_box=boxes_in_pictures(), margin=st.sampled_from([0.0, 0.1, 0.25, 1.0, 10.0]))
def test_the_square_is_as_near_as_it_can_be(given_box, margin):
    box, size = given_box
    square = square_window(box, size, margin)
    longer = max(box.bottom - box.top, box.right - box.left)
    assert square.side == min(round(longer + 2 * margin * longer), max(size))
    assert square.top == by_trying_each(box.top, box.bottom, square.side, size[0])
    assert square.left == by_trying_each(box.left, box.right, square.side, size[1])
    # Whatever was shifted, the box is in it.
    assert square.top <= box.top and box.bottom <= square.top + square.side
    assert square.left <= box.left and box.right <= square.left + square.side


def test_in_the_middle_of_a_large_picture():
    assert square_window(PixelBox(40, 50, 60, 70), (100, 200), 0.25) == SquareWindow(35, 45, 30)


def test_a_portrait_that_touches_the_bottom_is_shifted_up():
    assert square_window(PixelBox(60, 50, 100, 90), (100, 200), 0.25) == SquareWindow(40, 40, 60)


def test_a_picture_that_is_too_narrow_is_in_as_a_whole():
    # 60 wide, and 80 are wanted around its columns 10 to 30: its left side at 20 of 80, as far
    # as it may go towards the centre of the box.
    box = PixelBox(100, 10, 164, 30)
    assert square_window(box, (300, 60), 0.125) == SquareWindow(92, -20, 80)


def framed(pixels: np.ndarray, square: SquareWindow, value: int) -> np.ndarray:
    """What the square shows, pixel by pixel."""
    result = np.full((square.side, square.side, *pixels.shape[2:]), value, np.uint8)
    for row in range(square.side):
        for column in range(square.side):
            y, x = row + square.top, column + square.left
            if 0 <= y < pixels.shape[0] and 0 <= x < pixels.shape[1]:
                result[row, column] = pixels[y, x]
    return result


@settings(max_examples=100, deadline=None)
@given(
    given_box=boxes_in_pictures(),
    margin=st.sampled_from([0.0, 0.3, 2.0]),
    times=st.integers(1, 4),
    channels=st.sampled_from([(), (3,)]),
)
def test_pixels_and_bars_are_where_they_belong(given_box, margin, times, channels):
    box, size = given_box
    pixels = np.random.default_rng(0).integers(0, 256, (*size, *channels), np.uint8)
    square = square_window(box, size, margin)
    expected = framed(pixels, square, 77).repeat(times, axis=0).repeat(times, axis=1)
    found = square.apply(pixels, square.side * times, mask=True, value=77)
    assert np.array_equal(found, expected)


def test_a_picture_is_reduced_by_areas_and_a_mask_is_not():
    pixels = np.tile(np.array([[0, 200], [200, 0]], np.uint8), (8, 4))  # 16 high, 8 wide
    square = SquareWindow(0, -4, 16)
    picture = square.apply(pixels, 8, value=50)
    assert (picture[:, 2:6] == 100).all()
    assert (picture[:, :2] == 50).all() and (picture[:, 6:] == 50).all()
    mask = square.apply(pixels, 8, mask=True)
    assert set(np.unique(mask)) <= {0, 200}
    assert not mask[:, :2].any() and not mask[:, 6:].any()


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_what_is_left_of_a_line_is_a_line(size):
    square = square_window(PixelBox(0, 0, *size), size, 0.1)
    shown = square.apply(np.full(size, 255, np.uint8), 32, mask=True)
    assert shown.shape == (32, 32)
    assert np.count_nonzero(shown) == 32
    rows, columns = np.nonzero(shown)
    assert len(set(rows if size[0] == 1 else columns)) == 1
