import io

import numpy as np
import pytest
from PIL import Image

from dataset_handlers.operations.recompress import recompress
from dataset_handlers.sdk.errors import BadItemError
from tests.unit.handlers.operations.colours import GREYS, SOME
from tests.unit.handlers.pictures import gradient


def through_pillow(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
def test_it_is_what_pillow_writes_and_reads(quality):
    for pixels in (gradient(61, 47), SOME[..., ::-1].copy()):
        found = recompress(pixels[..., ::-1], quality)[..., ::-1]
        assert np.array_equal(found, through_pillow(pixels, quality))
    assert np.array_equal(recompress(GREYS, quality), through_pillow(GREYS, quality))


def test_lower_qualities_lose_more():
    lost = [
        np.square(recompress(SOME[..., 1], quality).astype(float) - SOME[..., 1]).mean()
        for quality in (100, 80, 40, 10, 1)
    ]
    assert lost == sorted(lost) and lost[0] * 2 < lost[-1]


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_stay(value):
    pixels = np.full((20, 20, 3), value, np.uint8)
    assert np.array_equal(recompress(pixels, 50), pixels)


def test_nothing_is_changed_in_place():
    pixels = SOME.copy()
    assert recompress(pixels, 10).shape == SOME.shape
    assert np.array_equal(pixels, SOME)


def test_a_picture_beyond_the_format_is_a_bad_item():
    with pytest.raises(BadItemError, match="too large for JPEG"):
        recompress(np.zeros((1, 70_000), np.uint8), 50)
