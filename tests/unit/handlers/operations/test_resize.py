import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset_handlers.operations.resize import resize
from tests.unit.handlers.operations.colours import pictures


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


def shares(source: int, target: int) -> np.ndarray:
    """`[target, source]`: how much of each pixel a larger one covers."""
    edges = np.arange(target + 1) * source / target
    covered = np.minimum(edges[1:, np.newaxis], np.arange(1, source + 1)) - np.maximum(
        edges[:-1, np.newaxis], np.arange(source)
    )
    return np.maximum(covered, 0) * target / source


def between(source: int, target: int) -> np.ndarray:
    """`[target, source]`: how much of its two neighbours a smaller pixel has."""
    centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    return np.maximum(0, 1 - np.abs(centres[:, np.newaxis] - np.arange(source)))


@settings(max_examples=60, deadline=None)
@given(pixels=pictures(), size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_areas_are_averaged_and_gaps_filled_linearly(pixels, size):
    down, across = (
        shares(source, target) if target < source else between(source, target)
        for source, target in zip(pixels.shape[:2], size, strict=True)
    )
    expected = np.einsum("ty,yx...,sx->ts...", down, pixels.astype(float), across)
    # Each axis is rounded for itself; linear weights have 11 bits.
    assert np.abs(resize(pixels, size) - expected).max() <= 1.3


@settings(max_examples=60, deadline=None)
@given(pixels=pictures(), size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_nearest_takes_the_pixel_that_the_centre_is_in(pixels, size):
    rows, columns = (
        (2 * np.arange(target) + 1) * source // (2 * target)
        for source, target in zip(pixels.shape[:2], size, strict=True)
    )
    found = resize(pixels, size, nearest=True)
    unsure = [  # a centre on the border of two pixels may go to either
        (2 * np.arange(target) + 1) * source % (2 * target) == 0
        for source, target in zip(pixels.shape[:2], size, strict=True)
    ]
    sure = ~unsure[0][:, np.newaxis] & ~unsure[1]
    assert np.array_equal(found[sure], pixels[rows][:, columns][sure])


@pytest.mark.parametrize("divisor", [2, 3, 5])
def test_whole_divisors_are_pillows_boxes(divisor):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).reduce(divisor)).astype(int)
    found = resize(pixels, (60 // divisor, 90 // divisor))
    assert np.abs(found - expected).max() <= 1  # a half goes up in one, to even in the other


@pytest.mark.parametrize("nearest", [True, False])
@pytest.mark.parametrize("value", [0, 255])
def test_what_is_even_stays_and_nothing_is_changed_in_place(nearest, value):
    pixels = np.full((31, 17, 3), value, np.uint8)
    for size in ((5, 40), (90, 3), (31, 18)):
        assert (resize(pixels, size, nearest=nearest) == value).all()
    assert (pixels == value).all()
