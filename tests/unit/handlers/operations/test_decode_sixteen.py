"""16 bits of what has them; files are written by OpenCV or by hand, since Pillow writes few."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset_handlers.operations.decode import decode_color, decode_grey
from dataset_handlers.operations.decode_sixteen import decode_color_sixteen, decode_grey_sixteen
from dataset_handlers.sdk.errors import BadItemError
from tests.unit.handlers.reading import encoded_as

PIXELS = 10**6
RNG = np.random.default_rng(3)
COLOR = RNG.integers(0, 65536, (21, 34, 3)).astype(np.uint16)
GREY = RNG.integers(0, 65536, (21, 34)).astype(np.uint16)
SHARE = RNG.integers(0, 65536, (21, 34, 1)).astype(np.uint16)


def written(pixels: np.ndarray, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


def png(pixels: np.ndarray, color_type: int, *chunks: bytes) -> bytes:
    """A PNG of 16 bits by hand: `pixels` in the file's own order of channels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_color_keeps_all_of_its_bits(suffix):
    decoded = decode_color_sixteen(written(COLOR, suffix), PIXELS)
    assert decoded.size == (21, 34)
    assert np.array_equal(decoded.pixels, COLOR)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_grey_keeps_all_of_its_bits(suffix):
    data = written(GREY, suffix)
    assert np.array_equal(decode_grey_sixteen(data, PIXELS).pixels, GREY)
    repeated = np.repeat(GREY[..., np.newaxis], 3, axis=2)
    assert np.array_equal(decode_color_sixteen(data, PIXELS).pixels, repeated)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_color_becomes_grey_by_the_weights_of_8_bits(suffix):
    grey = decode_grey_sixteen(written(COLOR, suffix), PIXELS).pixels
    assert np.abs(grey - (COLOR @ np.array([0.114, 0.587, 0.299]))).max() < 1.5


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_8_bits_are_spread_over_16(file_format):
    data = encoded_as((COLOR >> 8).astype(np.uint8), file_format)
    color, grey = decode_color_sixteen(data, PIXELS), decode_grey_sixteen(data, PIXELS)
    assert np.array_equal(color.pixels, decode_color(data, PIXELS).pixels * np.uint16(257))
    assert np.array_equal(grey.pixels, decode_grey(data, PIXELS).pixels * np.uint16(257))


def on(background: int, color: np.ndarray) -> np.ndarray:
    share = SHARE / 65535
    return color * share + background * (1 - share)


def test_transparent_color_shows_white_in_a_picture_and_black_as_grey():
    data = png(np.concatenate([COLOR[..., ::-1], SHARE], axis=2), 6)
    color = decode_color_sixteen(data, PIXELS).pixels
    assert np.abs(color - on(65535, COLOR)).max() <= 0.51
    grey = decode_grey_sixteen(data, PIXELS).pixels
    assert np.abs(grey - on(0, COLOR) @ np.array([0.114, 0.587, 0.299])).max() < 2


def test_transparent_grey():
    data = png(np.concatenate([GREY[..., np.newaxis], SHARE], axis=2), 4)
    expected = on(65535, GREY[..., np.newaxis])
    assert np.abs(decode_color_sixteen(data, PIXELS).pixels - expected).max() <= 0.51


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [3, 4])
def test_pngs_are_turned_upright(orientation, channels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + body))
    opaque = np.full_like(SHARE, 65535)
    pixels = np.concatenate([COLOR[..., ::-1], opaque], axis=2)[..., :channels]
    decoded = decode_color_sixteen(png(pixels, 2 if channels == 3 else 6, chunk), PIXELS).pixels
    upright = {
        1: COLOR,
        2: COLOR[:, ::-1],
        3: COLOR[::-1, ::-1],
        4: COLOR[::-1],
        5: COLOR.swapaxes(0, 1),
        6: np.rot90(COLOR, -1),
        7: COLOR[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(COLOR),
    }[orientation]
    assert np.array_equal(decoded, upright)


@pytest.mark.parametrize("decode", [decode_color_sixteen, decode_grey_sixteen])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("pixels", [COLOR, GREY], ids=["color", "grey"])
def test_what_is_cut_off_is_refused(decode, suffix, pixels):
    data = written(pixels, suffix)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(BadItemError):
            decode(data[: int(len(data) * share)], PIXELS)


@pytest.mark.parametrize("decode", [decode_color_sixteen, decode_grey_sixteen])
def test_too_many_pixels_are_refused(decode):
    with pytest.raises(BadItemError, match="max_pixels allows 700"):
        decode(written(COLOR, ".png"), 700)


def test_32_bits_are_refused():
    data = encoded_as(RNG.random((4, 4)).astype(np.float32), "TIFF")
    for decode in (decode_color_sixteen, decode_grey_sixteen):
        with pytest.raises(BadItemError, match="32 bits"):
            decode(data, PIXELS)
