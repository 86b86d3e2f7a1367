"""Against sums of fractions, done the slow way."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations.resize import resize
from dataset_handlers.operations.resize_sixteen import resize_sixteen

NOISE = np.random.default_rng(0).integers(0, 65536, (23, 17, 3)).astype(np.uint16)


def mean_of_area(column: list[int], count: int) -> list[Fraction]:
    """What each of `count` equal stretches of a column of pixels has on average."""
    given, means = len(column), []
    for place in range(count):
        begin, end = Fraction(place * given, count), Fraction((place + 1) * given, count)
        total = sum(
            value * max(Fraction(0), min(end, at + 1) - max(begin, at))
            for at, value in enumerate(column)
        )
        means.append(total / (end - begin))
    return means


def between_centres(column: list[int], count: int) -> list[Fraction]:
    given, values = len(column), []
    for place in range(count):
        at = (Fraction(2 * place + 1, 2) * given) / count - Fraction(1, 2)
        at = min(max(at, Fraction(0)), Fraction(given - 1))
        below = int(at)
        above = min(below + 1, given - 1)
        values.append(column[below] + (column[above] - column[below]) * (at - below))
    return values


@settings(max_examples=100, deadline=None)
@given(column=st.lists(st.integers(0, 65535), min_size=1, max_size=40), count=st.integers(1, 60))
def test_one_axis(column, count):
    pixels = np.array(column, np.uint16)[:, np.newaxis]
    exact = mean_of_area if count <= len(column) else between_centres
    expected = [int(value + Fraction(1, 2)) for value in exact(column, count)]
    assert resize_sixteen(pixels, (count, 1))[:, 0].tolist() == expected
    assert resize_sixteen(pixels.T.copy(), (1, count))[0].tolist() == expected


@pytest.mark.parametrize("size", [(7, 5), (46, 34), (7, 34), (46, 5), (130, 17)])
def test_channels_stay_apart(size):
    resized = resize_sixteen(NOISE, size)
    assert (resized.shape, resized.dtype) == ((*size, 3), np.uint16)
    for channel in range(3):
        alone = resize_sixteen(np.ascontiguousarray(NOISE[..., channel]), size)
        assert np.array_equal(resized[..., channel], alone)


@pytest.mark.parametrize("size", [(7, 5), (46, 34), (7, 34)])
def test_it_is_what_8_bits_get_but_for_their_rounding(size):
    eight = (NOISE >> 8).astype(np.uint8)
    sixteen = resize(eight.astype(np.uint16) * 257, size)
    assert np.abs(sixteen / 257 - resize(eight, size)).max() <= 1.1


def test_masks_of_16_bits_get_no_new_values():
    nearest = resize(NOISE, (46, 34), nearest=True)
    assert np.array_equal(
        nearest, cv2.resize(NOISE, (34, 46), interpolation=cv2.INTER_NEAREST_EXACT)
    )


def test_the_same_size_is_the_same_picture():
    assert resize_sixteen(NOISE, (23, 17)) is NOISE
