import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataset_handlers.operations.mask_box import PixelBox, mask_box


def test_bottom_and_right_are_outside():
    mask = np.zeros((10, 20), np.uint8)
    mask[2:5, 7:16] = 255
    assert mask_box(mask) == PixelBox(2, 7, 5, 16)


@pytest.mark.parametrize(("level", "shown"), [(127, False), (128, True), (255, True)])
def test_what_is_more_background_than_not_does_not_count(level, shown):
    assert (mask_box(np.full((1, 1), level, np.uint8)) is not None) == shown


@given(mask=arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_it_is_the_smallest_that_holds_all(mask):
    points = [(y, x) for y, row in enumerate(mask.tolist()) for x, v in enumerate(row) if v > 127]
    box = mask_box(mask)
    if not points:
        assert box is None
        return
    down, right = zip(*points, strict=True)
    assert box == (min(down), min(right), max(down) + 1, max(right) + 1)
