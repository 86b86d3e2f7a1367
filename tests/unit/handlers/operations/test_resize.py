import numpy as np
import pytest

from dataset_handlers.operations.resize import resize


def test_shrinking_takes_the_mean_of_each_area():
    pixels = np.array([[0, 100, 10, 10], [100, 200, 30, 30]], np.uint8)
    assert resize(pixels, (1, 2)).tolist() == [[100, 20]]


def test_growing_is_linear_between_pixel_centres():
    assert resize(np.array([[0, 100]], np.uint8), (1, 4)).tolist() == [[0, 25, 75, 100]]


def test_one_axis_may_shrink_while_the_other_grows():
    pixels = np.array([[0, 100], [100, 200]], np.uint8)
    assert resize(pixels, (1, 4)).tolist() == [[50, 75, 125, 150]]


def test_same_size_is_the_same_image_without_a_copy():
    pixels = np.zeros((3, 5, 3), np.uint8)
    assert resize(pixels, (3, 5)) is pixels


def test_size_is_height_then_width():
    assert resize(np.zeros((8, 8, 3), np.uint8), (20, 30)).shape == (20, 30, 3)


@pytest.mark.parametrize("size", [(5, 7), (64, 100), (13, 90)])
def test_a_mask_keeps_its_values(size):
    mask = np.random.default_rng(1).choice(np.array([0, 7, 255], np.uint8), (30, 40))
    assert set(np.unique(resize(mask, size, nearest=True))) <= {0, 7, 255}


def test_nearest_takes_the_pixel_under_the_centre():
    mask = np.arange(5, dtype=np.uint8)[np.newaxis]
    # Centres of the three pixels lie at 5/6, 15/6 and 25/6: in the pixels 0, 2 and 4.
    assert resize(mask, (1, 3), nearest=True).tolist() == [[0, 2, 4]]
