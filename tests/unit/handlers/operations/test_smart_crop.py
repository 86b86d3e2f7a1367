from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataset_handlers.operations import smart_crop as smart_crop_module
from dataset_handlers.operations.crop import Window
from dataset_handlers.operations.smart_crop import smart_window, window_size

sides = st.integers(1, 14)


def by_trying_each(saliency: np.ndarray, size: tuple[int, int]) -> Window:
    """The definition: the largest sum, the most central of these, the first of these."""
    found = []
    for top in range(saliency.shape[0] - size[0] + 1):
        for left in range(saliency.shape[1] - size[1] + 1):
            total = int(saliency[top : top + size[0], left : left + size[1]].astype(int).sum())
            down = Fraction(2 * top + size[0] - saliency.shape[0], 2)
            right = Fraction(2 * left + size[1] - saliency.shape[1], 2)
            found.append((-total, down**2 + right**2, top, left))
    *_, top, left = min(found)
    return Window(top, left, *size)


@settings(max_examples=300, deadline=None)
@given(
    # Of few levels, so that many windows are as good as each other; of all, so that few are.
    saliency=st.one_of(
        arrays(np.uint8, st.tuples(sides, sides), elements=st.integers(0, 1)),
        arrays(np.uint8, st.tuples(sides, sides), elements=st.sampled_from([0, 254, 255])),
        arrays(np.uint8, st.tuples(sides, sides)),
    ),
    at_once=st.sampled_from([1, 20, 40, 2**18]),
    data=st.data(),
)
def test_it_is_the_window_that_trying_each_one_finds(saliency, at_once, data):
    height, width = saliency.shape
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smart_crop_module, "_PIXELS_AT_ONCE", at_once)
        assert smart_window(saliency, size) == by_trying_each(saliency, size)


def test_sums_beyond_32_bits():
    saliency = np.full((4150, 6550), 255, np.uint8)
    saliency[:, :2400] = 0
    # From left to right the sums grow from less than 2^31 to more than 2^32.
    assert 1750 * 4150 * 255 < 2**31 and 4150 * 4150 * 255 > 2**32
    assert smart_window(saliency, (4150, 4150)) == Window(0, 2400, 4150, 4150)
    # Down, too.
    assert smart_window(saliency.T, (4150, 4150)) == Window(2400, 0, 4150, 4150)


def test_a_part_of_a_picture_will_do():
    # Views with strides, as cuts and flips give them.
    saliency = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    view = saliency[5:30:2, 50:10:-1]
    assert smart_window(view, (6, 9)) == smart_window(view.copy(), (6, 9))


def test_a_window_that_does_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        smart_window(np.zeros((5, 9), np.uint8), (6, 2))


@given(size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)), ratio=st.tuples(sides, sides))
def test_the_window_is_the_largest_of_its_proportions(size, ratio):
    height, width = window_size(size, ratio)
    assert 1 <= height <= size[0] and 1 <= width <= size[1]
    assert height == size[0] or width == size[1]
    # Half a pixel is as near as whole pixels come, but that one has to be there.
    wanted_width, wanted_height = (
        Fraction(height * ratio[1], ratio[0]),
        Fraction(width * ratio[0], ratio[1]),
    )
    nearest = min(abs(width - wanted_width), abs(height - wanted_height))
    assert nearest <= Fraction(1, 2) or min(height, width) == 1


@pytest.mark.parametrize(
    ("ratio", "share", "expected"),
    [
        ((1, 1), 1.0, (480, 480)),
        ((3, 4), 1.0, (480, 640)),
        ((9, 16), 1.0, (360, 640)),
        ((16, 9), 1.0, (480, 270)),
        ((1, 1), 0.5, (240, 240)),
        ((9, 16), 0.75, (270, 480)),
        ((1, 1000), 0.5, (1, 320)),
        ((1, 1), 1e-9, (1, 1)),
    ],
)
def test_windows_of_a_picture_of_480_by_640(ratio, share, expected):
    assert window_size((480, 640), ratio, share) == expected
