from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from dataset_handlers.operations.luma import WEIGHTS, mean_luma
from tests.unit.handlers.operations.colours import pictures


def test_weights_of_blue_green_red():
    for channel, expected in enumerate((0.114, 0.587, 0.299)):
        pixels = np.zeros((2, 2, 3), np.uint8)
        pixels[..., channel] = 100
        assert mean_luma(pixels) == pytest.approx(100 * expected, abs=1e-12)
    assert sum(WEIGHTS) == 1000


@settings(max_examples=50, deadline=None)
@given(pixels=pictures())
def test_it_is_the_mean_as_a_fraction(pixels):
    weights = (114, 587, 299) if pixels.ndim == 3 else (1000,)
    rows = pixels.reshape(-1, len(weights)).tolist()
    total = sum(w * v for row in rows for w, v in zip(weights, row, strict=True))
    assert mean_luma(pixels) == float(Fraction(total, 1000 * len(rows)))


def test_large_pictures_do_not_overflow():
    white = np.broadcast_to(np.uint8(255), (6000, 6000, 3))
    assert mean_luma(white) == 255 and mean_luma(white[..., 0]) == 255
