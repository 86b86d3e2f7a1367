from statistics import NormalDist

import numpy as np
import pytest

from dataset_handlers.operations.noise import add_noise
from tests.unit.handlers.operations.colours import GREYS, SOME

GREY = np.full((301, 203, 3), 128, np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sigma", [0.8, 3.0, 10.0, 25.0])
def test_mean_and_deviation(sigma):
    noise = add_noise(GREY, sigma, rng()).astype(float) - 128
    count = noise.size
    assert abs(noise.mean()) < 4 * sigma / count**0.5
    # Rounding to whole numbers adds 1/12 to the variance.
    assert noise.std() == pytest.approx((sigma**2 + 1 / 12) ** 0.5, rel=0.01)


def test_it_is_normal():
    noise = add_noise(GREY, 20, rng()).astype(float) - 128
    for share in (0.001, 0.02, 0.16, 0.5, 0.84, 0.98, 0.999):
        assert np.quantile(noise, share) == pytest.approx(NormalDist(0, 20).inv_cdf(share), abs=1.5)


def test_each_value_has_its_own():
    noise = add_noise(GREY, 20, rng()).astype(float) - 128
    neighbours = [
        (noise[1:], noise[:-1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[..., 1], noise[..., 0]),
        (noise[64:], noise[:-64]),
    ]
    for one, other in neighbours:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_grey_and_odd_counts():
    for shape in ((1, 1), (1, 3), (65, 7), (64, 1, 3)):
        noisy = add_noise(np.full(shape, 128, np.uint8), 10, rng())
        assert noisy.shape == shape and noisy.dtype == np.uint8


@pytest.mark.parametrize("sigma", [5, 1e4, 1e9])
def test_ends_are_cut_off(sigma):
    for value in (0, 255):
        noisy = add_noise(np.full_like(GREY, value), sigma, rng())
        # Half of the noise goes to the other side of the end, and is nothing.
        assert np.mean(noisy == value) == pytest.approx(0.5, abs=0.06)
        assert np.abs(noisy.astype(int) - value).max() <= min(255, 4 * sigma)


@pytest.mark.parametrize("sigma", [1e6, 1e9, 1e15])
def test_noise_beyond_all_values_leaves_black_and_white(sigma):
    assert set(np.unique(add_noise(GREY, sigma, rng()))) == {0, 255}


def test_the_generator_decides():
    assert np.array_equal(add_noise(SOME, 9, rng(1)), add_noise(SOME, 9, rng(1)))
    assert not np.array_equal(add_noise(SOME, 9, rng(1)), add_noise(SOME, 9, rng(2)))


def test_a_window_gets_the_noise_that_a_picture_gets():
    window = SOME[3:50, 5:30]
    assert np.array_equal(add_noise(window, 9, rng()), add_noise(window.copy(), 9, rng()))


def test_nothing_is_changed_in_place():
    pixels = SOME.copy()
    add_noise(pixels, 20, rng())
    assert np.array_equal(pixels, SOME)


def test_zero_changes_nothing_and_draws_nothing():
    generator = rng()
    assert np.array_equal(add_noise(GREYS, 0, generator), GREYS)
    assert generator.random() == rng().random()


def test_a_negative_sigma_is_an_error():
    with pytest.raises(ValueError, match="sigma -1 is negative"):
        add_noise(GREYS, -1, rng())
