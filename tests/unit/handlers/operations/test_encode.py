import io

import numpy as np
import pytest
from PIL import Image

from dataset_handlers.operations.encode import encode_jpeg, encode_png
from dataset_handlers.sdk.errors import BadItemError
from tests.unit.handlers.reading import pixels_of

# Blue first, as all images are here.
BLUE = np.full((16, 16, 3), (255, 0, 0), np.uint8)


def test_a_jpeg_has_its_channels_in_the_right_order():
    red, green, blue = pixels_of(encode_jpeg(BLUE, 95))[8, 8]
    assert blue > 250
    assert max(red, green) < 5


def test_a_grey_jpeg_has_one_channel():
    image = Image.open(io.BytesIO(encode_jpeg(np.full((8, 8), 77, np.uint8), 95)))
    assert (image.format, image.mode, image.getpixel((3, 3))) == ("JPEG", "L", 77)


def test_quality_is_a_trade_of_size():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(encode_jpeg(pixels, 30)) < len(encode_jpeg(pixels, 95)) / 2


def test_a_crop_is_encoded_without_its_surroundings():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    window = pixels[5:40, 7:50]
    assert encode_jpeg(window, 95) == encode_jpeg(np.ascontiguousarray(window), 95)


def test_a_png_loses_nothing():
    mask = np.random.default_rng(0).integers(0, 256, (50, 70), np.uint8)
    assert np.array_equal(pixels_of(encode_png(mask)), mask)
    assert pixels_of(encode_png(BLUE))[0, 0].tolist() == [0, 0, 255]


def test_an_image_beyond_the_format_is_a_bad_item():
    with pytest.raises(BadItemError, match="too large for JPEG"):
        encode_jpeg(np.zeros((1, 70_000), np.uint8), 95)
