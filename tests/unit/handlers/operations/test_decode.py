"""Decoding what is found in the wild; Pillow's own arithmetic is the reference where it can be."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset_handlers.operations.decode import (
    Reducible,
    decode_color,
    decode_deep,
    decode_grey,
    decode_opaque,
)
from dataset_handlers.sdk.errors import BadItemError
from tests.unit.handlers.reading import encoded_as

LIMIT = 10_000_000


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth RGB picture, red to the right, green downwards."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, np.newaxis]
    picture[..., 2] = 128
    return picture


def rgb(data: bytes, **options: object) -> np.ndarray:
    return decode_color(data, LIMIT, **options).pixels[..., ::-1].astype(int)


def saved(image: Image.Image, file_format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_are_exact(file_format):
    assert np.array_equal(rgb(encoded_as(photo(), file_format)), photo())


def test_lossless_webp_is_exact():
    assert np.array_equal(rgb(encoded_as(photo(), "WEBP", lossless=True)), photo())


def test_jpeg_is_close_with_red_where_red_is():
    assert np.abs(rgb(encoded_as(photo(), "JPEG", quality=98)) - photo()).max() < 12


def test_grey_becomes_three_equal_channels():
    grey = photo()[..., 0]
    for file_format in ("PNG", "JPEG"):
        decoded = rgb(encoded_as(grey, file_format))
        assert decoded.shape == (40, 60, 3)
        assert np.ptp(decoded, axis=2).max() == 0
        assert np.abs(decoded[..., 0] - grey).max() < 4


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_colour_becomes_grey_by_its_weights(file_format):
    data = encoded_as(np.full((16, 16, 3), (200, 100, 50), np.uint8), file_format, quality=98)
    grey = decode_grey(data, LIMIT).pixels
    assert grey.shape == (16, 16)
    assert abs(int(grey[8, 8]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)) < 2


def test_cmyk():
    data = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=98)
    red, green, blue = rgb(data)[8, 8]
    assert red > 250 and green < 5 and blue < 5


def test_palettes_are_looked_up():
    image = Image.fromarray(photo()).quantize(16)
    assert np.array_equal(rgb(saved(image, "PNG")), np.asarray(image.convert("RGB")))


def test_16_bits_keep_the_upper_8():
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    data = encoded_as(values, "PNG")
    assert decode_grey(data, LIMIT).pixels.tolist() == [[0, 0, 1, 255]]
    assert rgb(data)[0, :, 2].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_of_colours_keep_the_upper_8(suffix):
    colours = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
    data = cv2.imencode(suffix, colours)[1].tobytes()
    assert np.array_equal(decode_color(data, LIMIT).pixels, colours >> 8)


def test_one_bit_is_0_and_255():
    data = saved(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "PNG")
    assert decode_grey(data, LIMIT).pixels.tolist() == [[0, 255]]


def test_what_is_transparent_is_white_in_pictures_and_black_in_masks():
    for mode, colour in (("RGBA", (10, 20, 30, 0)), ("LA", (10, 0))):
        data = saved(Image.new(mode, (2, 2), colour), "PNG")
        assert rgb(data)[0, 0].tolist() == [255, 255, 255]
        assert decode_grey(data, LIMIT).pixels[0, 0] == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_opaque_has_the_colours_of_what_is_transparent(mode):
    image = Image.new("RGBA", (3, 2), (90, 90, 90, 0)).convert(mode)
    transparency = {"P": b"\0" * 256, "RGB": (90, 90, 90)}.get(mode)
    data = saved(image, "PNG", **({} if transparency is None else {"transparency": transparency}))
    assert (decode_color(data, LIMIT).pixels == 255).all()
    assert (decode_opaque(data, LIMIT).pixels == 90).all()


def test_opaque_is_colour_otherwise():
    for file_format in ("PNG", "JPEG"):
        data = encoded_as(photo(), file_format)
        opaque, color = decode_opaque(data, LIMIT), decode_color(data, LIMIT)
        assert np.array_equal(opaque.pixels, color.pixels)
    assert decode_opaque(encoded_as(photo()[..., 0], "PNG"), LIMIT).pixels.shape == (40, 60, 3)


def test_half_transparent_is_mixed():
    data = saved(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG")
    assert abs(rgb(data)[0, 0, 0] - 127) <= 1


def test_the_first_picture_of_an_animation():
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    data = saved(first, "GIF", save_all=True, append_images=[second])
    assert rgb(data)[0, 0].tolist() == [255, 0, 0]


def test_the_first_picture_of_an_mpo():
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    data = saved(first, "MPO", save_all=True, append_images=[second])
    assert rgb(data)[0, 0, 0] > 250


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation, file_format):
    # An upright scene, stored as a camera held in this way would.
    scene = Image.fromarray(photo())
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene.transpose(undo[orientation]) if orientation in undo else scene
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, file_format, exif=exif, quality=98)
    decoded = decode_color(data, LIMIT)
    assert decoded.size == (40, 60)
    assert np.abs(decoded.pixels[..., ::-1].astype(int) - photo()).max() < 16
    assert decode_grey(data, LIMIT).pixels.shape == (40, 60)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_never_decoded(file_format):
    rng = np.random.default_rng(0)
    whole = encoded_as(rng.integers(0, 256, (48, 64, 3), np.uint8), file_format)
    after_the_pixels = {"PNG": 16, "GIF": 2}.get(file_format, 0)  # checksum, end chunk; trailer
    cuts = [1, 2, 3, 8, 16, 50, *range(100, len(whole), len(whole) // 23), len(whole)]
    for missing in cuts:
        if missing > after_the_pixels:
            for decode in (decode_color, decode_grey):
                with pytest.raises(BadItemError) as caught:
                    decode(whole[: len(whole) - missing], LIMIT)
                assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("file_format", "missing"), [("PNG", 4), ("GIF", 1)])
def test_what_lacks_no_pixel_may_be_taken(file_format, missing):
    whole = encoded_as(photo(), file_format)
    assert np.array_equal(rgb(whole[:-missing]), rgb(whole))


def test_zeros_after_the_end_of_a_jpeg_do_no_harm():
    data = encoded_as(photo(), "JPEG")
    assert np.array_equal(rgb(data + b"\0" * 100), rgb(data))


def test_the_name_does_not_count_but_the_contents():
    with pytest.raises(BadItemError, match="none of the formats that are read"):
        decode_color(b"plain text", LIMIT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a page of HTML"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"%PDF-1.7", "PDF"),
        (b"\xff\xd8\xff\xe0", "a JPEG cut off in its header"),
    ],
)
def test_what_is_no_image_is_called_by_its_name(data, reason):
    with pytest.raises(BadItemError, match=reason):
        decode_color(data, LIMIT)


@pytest.mark.filterwarnings("error")
def test_too_many_pixels_are_refused_before_decoding():
    header = struct.pack(">4sIIBBBBB", b"IHDR", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I4s", 0, b"IDAT")
    with pytest.raises(BadItemError, match="400000000 pixels, max_pixels allows 200000000"):
        decode_color(data, 200_000_000)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_the_limit_itself_is_allowed():
    data = encoded_as(photo(), "PNG")
    assert decode_color(data, 40 * 60).size == (40, 60)
    with pytest.raises(BadItemError, match="60x40 is 2400 pixels, max_pixels allows 2399"):
        decode_color(data, 40 * 60 - 1)


def test_32_bit_images_are_refused():
    with pytest.raises(BadItemError, match="32 bits"):
        decode_grey(encoded_as(np.ones((4, 4), np.float32), "TIFF"), LIMIT)


@pytest.mark.parametrize(
    ("at_least", "expected"),
    [
        (None, (320, 480)),
        ((161, 10), (320, 480)),
        ((160, 240), (160, 240)),
        ((80, 100), (80, 120)),
        ((1, 1), (40, 60)),
    ],
)
def test_a_large_jpeg_may_come_reduced(at_least, expected):
    reducible = Reducible(at_least) if at_least else None
    decoded = decode_color(encoded_as(photo(320, 480), "JPEG"), LIMIT, reducible)
    assert decoded.pixels.shape[:2] == expected
    assert decoded.size == (320, 480)


def test_a_reduced_picture_shows_the_same():
    data = encoded_as(photo(320, 480), "JPEG", quality=98)
    reduced = rgb(data, reducible=Reducible((40, 60)))
    assert np.abs(reduced - photo(40, 60)).max() < 12


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_first_of_several_pictures_may_come_reduced_too(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photos = [Image.fromarray(photo(323, 485)), Image.fromarray(photo(50, 40))]
    data = saved(photos[0], "MPO", append_images=photos[1:], save_all=True, quality=98, exif=exif)
    sides = {1: (323, 485), 6: (485, 323)}[orientation]
    decoded = decode_color(data, LIMIT, Reducible((40, 40), exact=False))
    assert decoded.size == sides
    assert decoded.pixels.shape[:2] == tuple(-(-side // 8) for side in sides)
    whole = decode_color(data, LIMIT, Reducible((40, 40)))
    assert whole.pixels.shape[:2] == whole.size == sides, "its sides do not divide"
    smaller = cv2.resize(whole.pixels, decoded.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(decoded.pixels.astype(int) - smaller).max() < 14


def test_sides_that_do_not_divide_are_not_reduced():
    decoded = decode_color(encoded_as(photo(321, 480), "JPEG"), LIMIT, Reducible((10, 10)))
    assert decoded.pixels.shape[:2] == (321, 480)


def test_sides_that_do_not_divide_are_rounded_up_where_that_does_no_harm():
    data = encoded_as(photo(323, 485), "JPEG", quality=98)
    reducible = Reducible((40, 60), exact=False)
    assert decode_color(data, LIMIT, reducible).pixels.shape == (41, 61, 3)
    assert decode_grey(data, LIMIT, reducible).pixels.shape == (41, 61)
    assert np.abs(rgb(data, reducible=reducible) - photo(41, 61)).max() < 14


def test_reduction_looks_at_the_upright_sides():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded_as(photo(320, 480), "JPEG", exif=exif)
    assert decode_color(data, LIMIT, Reducible((240, 160))).pixels.shape[:2] == (240, 160)
    assert decode_color(data, LIMIT, Reducible((160, 240))).pixels.shape[:2] == (480, 320)


def test_malformed_exif_is_ignored():
    data = encoded_as(photo(), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff garbage")
    assert decode_color(data, LIMIT).size == (40, 60)


@pytest.mark.parametrize(("code", "raised"), [(-4, MemoryError), (-2, BadItemError)])
def test_a_lack_of_memory_is_no_broken_picture(monkeypatch, code, raised):
    def imdecode(*_):
        error = cv2.error("OpenCV says why")
        error.code = code
        raise error

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    with pytest.raises(raised):
        decode_color(encoded_as(photo(), "JPEG"), LIMIT)


@pytest.mark.parametrize("decode", [decode_color, decode_grey, decode_deep])
def test_tiffs_that_pillow_reads_otherwise_than_meant_are_refused(decode):
    def tiff(bits: int, photometric: int) -> bytes:
        """One pixel, two bytes."""
        entries = [(256, 1), (257, 1), (258, bits), (259, 1), (262, photometric)]
        entries += [(273, 8), (277, 1), (278, 1), (279, 2)]
        body = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
        head = b"II*\0" + struct.pack("<I", 10) + b"\xff\x0f"
        return head + struct.pack("<H", len(entries)) + body + b"\0" * 4

    assert decode(tiff(16, 1), LIMIT).size == (1, 1)
    with pytest.raises(BadItemError, match="its pixels have 12 bits"):
        decode(tiff(12, 1), LIMIT)
    with pytest.raises(BadItemError, match="0 for white"):
        decode(tiff(16, 0), LIMIT)


DEEP = np.array([[0, 255, 256], [4000, 43690, 65535]], np.uint16)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_deep_grey_keeps_16_bits(file_format):
    decoded = decode_deep(encoded_as(DEEP, file_format), LIMIT)
    assert decoded.pixels.dtype == np.uint16 and decoded.pixels.dtype.isnative
    assert np.array_equal(decoded.pixels, DEEP)
    assert decoded.size == (2, 3)


def test_deep_grey_of_the_other_byte_order():
    image = Image.frombytes("I;16B", (3, 2), DEEP.astype(">u2").tobytes())
    decoded = decode_deep(saved(image, "TIFF"), LIMIT).pixels
    assert decoded.dtype.isnative and np.array_equal(decoded, DEEP)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_deep_takes_the_first_of_several_channels(suffix, channels):
    others = [np.full_like(DEEP, 700), np.full_like(DEEP, 9), DEEP, np.full_like(DEEP, 3)]
    stored = np.dstack(others[:channels])  # as OpenCV has it: blue, green, red, alpha
    data = cv2.imencode(suffix, stored)[1].tobytes()
    assert np.array_equal(decode_deep(data, LIMIT).pixels, DEEP)


def test_deep_takes_the_grey_beside_an_alpha_of_16_bits():
    rows = b"".join(
        b"\0" + np.dstack([row, np.full_like(row, 5)]).astype(">u2").tobytes() for row in DEEP
    )
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 3, 2, 16, 4, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body
        data += struct.pack(">I", zlib.crc32(name + body))
    assert np.array_equal(decode_deep(data, LIMIT).pixels, DEEP)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_deep_is_turned_upright(orientation, file_format, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = DEEP if mode == "I;16" else DEEP.astype(np.uint8)
    data = saved(Image.fromarray(stored), file_format, exif=exif)
    decoded = decode_deep(data, LIMIT)
    assert np.array_equal(decoded.pixels, np.rot90(stored, {3: 2, 6: -1}[orientation]))
    assert decoded.size == decoded.pixels.shape


def test_deep_color_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = cv2.imencode(".png", np.dstack([DEEP] * 3))[1].tobytes()
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    turned = plain[:33] + chunk + plain[33:]
    assert np.array_equal(decode_deep(turned, LIMIT).pixels, np.rot90(DEEP, -1))


def test_deep_mixes_no_colours_and_no_background():
    for mode, colour in (("RGB", (10, 200, 90)), ("RGBA", (10, 200, 90, 0)), ("LA", (10, 0))):
        decoded = decode_deep(saved(Image.new(mode, (2, 3), colour), "PNG"), LIMIT).pixels
        assert (decoded.dtype, decoded.shape) == (np.uint8, (3, 2))
        assert (decoded == 10).all()


def test_deep_looks_palettes_up_and_has_1_bit_as_0_and_255():
    palette = Image.fromarray(photo()).quantize(16)
    expected = np.asarray(palette.convert("RGB"))[..., 0]
    assert np.array_equal(decode_deep(saved(palette, "PNG"), LIMIT).pixels, expected)
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert decode_deep(saved(bits, "PNG"), LIMIT).pixels.tolist() == [[0, 255]]


def test_deep_of_a_jpeg_is_its_red():
    data = encoded_as(photo(), "JPEG", quality=98)
    assert np.array_equal(decode_deep(data, LIMIT).pixels, rgb(data)[..., 0])
    grey = encoded_as(photo()[..., 0], "JPEG", quality=98)
    assert np.array_equal(decode_deep(grey, LIMIT).pixels, decode_grey(grey, LIMIT).pixels)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encoded_as(np.ones((4, 4), np.float32), "TIFF"),
        encoded_as(DEEP, "PNG")[:-30],
        cv2.imencode(".png", np.dstack([DEEP] * 3))[1].tobytes()[:-30],
        encoded_as(photo(), "JPEG")[:-30],
    ],
    ids=["empty", "32 bits", "cut off", "colour cut off", "JPEG cut off"],
)
def test_deep_refuses_what_the_others_refuse(data):
    with pytest.raises(BadItemError):
        decode_deep(data, LIMIT)


def test_deep_refuses_too_many_pixels():
    with pytest.raises(BadItemError, match="3x2 is 6 pixels, max_pixels allows 5"):
        decode_deep(encoded_as(DEEP, "PNG"), 5)
