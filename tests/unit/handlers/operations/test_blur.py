import numpy as np
import pytest

from dataset_handlers.operations.blur import blur
from tests.unit.handlers.operations.colours import GREYS, PICTURES, SOME


def convolved(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """In floating point, one axis after the other."""
    radius = round(3 * sigma)
    kernel = np.exp(-(np.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    result = pixels.astype(float)
    for axis in (0, 1):
        room = [(radius, radius) if at == axis else (0, 0) for at in range(pixels.ndim)]
        padded = np.pad(result, room, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis)
        result = windows @ kernel
    return result


@pytest.mark.parametrize("pixels", PICTURES)
@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0, 2.3, 4.0])
def test_it_is_a_convolution_with_a_gaussian(pixels, sigma):
    # OpenCV's weights have 8 bits.
    assert np.abs(blur(pixels, sigma) - convolved(pixels, sigma)).max() < 2


@pytest.mark.parametrize("sigma", [4.01, 5, 7.4, 7.6, 15, 33, 50])
@pytest.mark.parametrize("size", [(240, 300), (233, 301, 3)])
def test_much_blur_is_nearly_a_convolution(size, sigma):
    rng = np.random.default_rng(0)
    blocks = rng.choice(np.array([0, 255], np.uint8), (12, 16, *size[2:]))
    pixels = blocks.repeat(20, axis=0).repeat(20, axis=1)[: size[0], : size[1]]
    off = np.abs(blur(pixels, sigma) - convolved(pixels, sigma))
    assert off.max() < 5 and off.mean() < 0.8


def test_a_step_far_away_is_not_seen():
    pixels = np.zeros((1, 400), np.uint8)
    pixels[:, 200:] = 255
    row = blur(pixels, 20)[0].astype(int)
    assert not row[:120].any() and (row[280:] == 255).all()
    assert (np.diff(row) >= 0).all()
    assert row[[180, 199, 220]] == pytest.approx([0.159 * 255, 127, 0.841 * 255], abs=4)


def test_a_point_becomes_a_bell():
    point = np.zeros((31, 31), np.uint8)
    point[15, 15] = 255
    bell = blur(point, 1).astype(float)
    assert bell[15, 15] == pytest.approx(255 / (2 * np.pi), abs=1)
    assert np.array_equal(bell, bell.T) and np.array_equal(bell, bell[::-1])


@pytest.mark.parametrize("sigma", [0.01, 0.5, 3, 50])
@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_what_is_even_stays(sigma, value):
    assert (blur(np.full((20, 30, 3), value, np.uint8), sigma) == value).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3)])
def test_pictures_smaller_than_the_bell(size):
    pixels = np.full((*size, 3), 9, np.uint8)
    assert np.array_equal(blur(pixels, 20), pixels)


def test_channels_do_not_mix():
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[..., 1] = blur(SOME[:20, :20, 1].copy(), 2)
    assert not blur(pixels, 3)[..., [0, 2]].any()
    assert np.array_equal(blur(pixels, 3)[..., 1], blur(pixels[..., 1].copy(), 3))


def test_zero_changes_nothing():
    assert np.array_equal(blur(SOME, 0), SOME)


def test_nothing_is_changed_in_place():
    pixels = GREYS.copy()
    blur(pixels, 2)
    assert np.array_equal(pixels, GREYS)


def test_a_negative_sigma_is_an_error():
    with pytest.raises(ValueError, match="sigma -1 is negative"):
        blur(GREYS, -1)
