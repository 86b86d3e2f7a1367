from fractions import Fraction

import numpy as np
import pytest

from dataset_handlers.operations.composite import composite


def test_every_foreground_alpha_and_background_is_rounded_exactly():
    exact = np.array([round(Fraction(total, 255)) for total in range(255 * 255 + 1)])
    levels = np.arange(256)
    foreground = np.repeat(np.tile(levels.astype(np.uint8), (256, 1))[..., np.newaxis], 3, axis=2)
    background = foreground.transpose(1, 0, 2).copy()
    for share in levels.tolist():
        alpha = np.full((256, 256), share, np.uint8)
        made = composite(foreground, alpha, background)
        expected = exact[share * levels + (255 - share) * levels[:, np.newaxis]]
        assert np.array_equal(made, np.repeat(expected[..., np.newaxis], 3, axis=2))


def test_alpha_of_each_pixel_is_its_own():
    rng = np.random.default_rng(0)
    foreground, background = rng.integers(0, 256, (2, 70, 50, 3), np.uint8)
    alpha = rng.choice(np.array([0, 255], np.uint8), (70, 50))
    made = composite(foreground, alpha, background)
    assert np.array_equal(made, np.where(alpha[..., np.newaxis] > 0, foreground, background))


def test_nothing_is_changed_but_what_is_spare():
    foreground, background = np.full((2, 2, 3), 200, np.uint8), np.zeros((2, 2, 3), np.uint8)
    alpha = np.full((2, 2), 255, np.uint8)
    composite(foreground, alpha, background)
    assert not background.any()
    assert composite(foreground, alpha, background, spare=True) is background
    assert (background == 200).all()


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match="foreground, alpha and background are"):
        composite(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8), np.zeros((2, 3, 3)))
