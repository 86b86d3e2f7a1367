"""What the short way says of a header is what Pillow says of it."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from dataset_handlers.operations.decode import FORMATS
from dataset_handlers.operations.jpeg_header import plain_jpeg_size
from dataset_handlers.operations.orientation import UPRIGHT, orientation_of


def jpeg(mode: str = "RGB", **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (60, 40)).save(buffer, "JPEG", **settings)
    return buffer.getvalue()


PLAIN = {
    "baseline": jpeg(),
    "progressive": jpeg(progressive=True),
    "grey": jpeg("L"),
    "with a comment": jpeg(comment="of 1997"),
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN.keys())
def test_height_and_width(data):
    assert plain_jpeg_size(data) == (40, 60)


def exif() -> Image.Exif:
    held_upright = Image.Exif()
    held_upright[ExifTags.Base.Orientation] = 6
    return held_upright


FRAME = b"\xff\xc0\x00\x11\x08"
NOT_PLAIN = {
    "EXIF": jpeg(exif=exif()),
    "CMYK": jpeg("CMYK"),
    "a colour profile": jpeg(icc_profile=b"profile"),
    "several pictures": jpeg().replace(b"\xff\xdb", b"\xff\xe2\x00\x08MPF\0xx\xff\xdb", 1),
    "no JPEG": b"\x89PNG" + jpeg(),
    "without a size": jpeg().replace(FRAME + b"\x00\x28", FRAME + b"\x00\x00"),
    "12 bits": jpeg().replace(FRAME, FRAME[:-1] + b"\x0c"),
    "lossless": jpeg().replace(FRAME, b"\xff\xc3\x00\x11\x08"),
    "cut off in the header": jpeg()[:100],
    "a scan whose header has no length": jpeg().replace(b"\xff\xda\x00\x0c", b"\xff\xda\x00\x01"),
    "empty": b"",
}


@pytest.mark.parametrize("data", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_what_is_not_plain_is_left_to_pillow(data):
    assert plain_jpeg_size(data) is None


@settings(max_examples=300, deadline=None)
@given(
    data=st.sampled_from([*PLAIN.values(), NOT_PLAIN["EXIF"]]),
    changes=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=3),
)
def test_no_header_is_plain_that_pillow_reads_in_another_way(data, changes):
    changed = bytearray(data)
    for place, value in changes:
        changed[min(place, len(changed) - 1)] = value
    size = plain_jpeg_size(bytes(changed))
    if size is not None:
        image = Image.open(io.BytesIO(changed), formats=FORMATS)
        assert (image.height, image.width) == size
        assert (image.format, orientation_of(image)) == ("JPEG", UPRIGHT)
        assert image.mode in ("RGB", "L")
