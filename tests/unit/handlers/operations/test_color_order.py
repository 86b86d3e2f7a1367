import numpy as np

from dataset_handlers.operations.color_order import in_order
from dataset_handlers.operations.encode import encode_png
from tests.unit.handlers.operations.colours import GREYS, SOME
from tests.unit.handlers.reading import pixels_of


def test_files_have_red_first_or_blue():
    red = np.full((2, 2, 3), (10, 20, 200), np.uint8)  # blue first, as all pictures here
    assert pixels_of(encode_png(in_order(red, "rgb")))[0, 0].tolist() == [200, 20, 10]
    assert pixels_of(encode_png(in_order(red, "bgr")))[0, 0].tolist() == [10, 20, 200]


def test_bgr_exchanges_and_changes_nothing_in_place():
    pixels = SOME.copy()
    assert np.array_equal(in_order(pixels, "bgr"), SOME[..., ::-1])
    assert np.array_equal(pixels, SOME)


def test_rgb_and_grey_are_the_same_picture():
    assert in_order(SOME, "rgb") is SOME
    assert in_order(GREYS, "bgr") is GREYS
