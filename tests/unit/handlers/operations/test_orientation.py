import warnings
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from dataset_handlers.operations.orientation import SIDEWAYS, orientation_of, turn_upright

# Row 0 and column 0 of the stored pixels are seen at these sides: Exif 2.32, tag 274.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def side(pixels: np.ndarray, name: str) -> np.ndarray:
    return {
        "top": pixels[0],
        "bottom": pixels[-1],
        "left": pixels[:, 0],
        "right": pixels[:, -1],
    }[name]


def written(orientation: object, kind: str = "JPEG") -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.new("RGB", (3, 2)).save(file, kind, exif=exif)
    return Image.open(file)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rows_and_columns_lie_where_the_standard_says(orientation):
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    seen = turn_upright(stored, orientation)
    row, column = SIDES[orientation]
    assert set(side(seen, row).tolist()) == {0, 1, 2}
    assert set(side(seen, column).tolist()) == {0, 3}
    assert (seen.shape == (3, 2)) == (orientation in SIDEWAYS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_as_pillow_does_it(orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turn_upright(pixels, orientation), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_a_file_says(kind, orientation):
    assert orientation_of(written(orientation, kind)) == orientation


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_numbers_that_are_no_orientation(orientation):
    assert orientation_of(written(orientation)) == 1


def test_no_exif_and_malformed_exif():
    file = BytesIO()
    Image.new("RGB", (3, 2)).save(file, "JPEG")
    assert orientation_of(Image.open(file)) == 1
    Image.new("RGB", (3, 2)).save(file, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff nothing")
    assert orientation_of(Image.open(file)) == 1


def test_exif_that_is_cut_off_anywhere():
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = exif.tobytes()
    for length in range(len(whole)):
        file = BytesIO()
        # With a resolution Pillow does not look for one in EXIF, and has not read it before.
        Image.new("RGB", (3, 2)).save(file, "JPEG", exif=whole[:length], dpi=(72, 72))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file)
        assert orientation_of(image) in (1, 6)
    assert orientation_of(written(6)) == 6


def test_another_orientation_changes_nothing():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for orientation in (0, 1, 9):
        assert turn_upright(pixels, orientation) is pixels
