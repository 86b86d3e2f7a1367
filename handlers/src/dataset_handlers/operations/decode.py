"""Decode image files, whatever they are called, into upright 8-bit pixels.

What the file holds counts, not its name. On purpose:
- The EXIF orientation is applied. Malformed EXIF is ignored.
- Grey becomes RGB by repetition, RGB becomes grey by ITU-R BT.601's weights, CMYK and other colour
  spaces become RGB by Pillow's formulas, palettes are looked up.
- Colours of other RGB spaces (Display P3, Adobe RGB), as an ICC profile in the file tells, become
  sRGB: `color_profile`. Profiles of grey and CMYK are not looked at, and none where grey, a mask or
  a depth map is asked for: those are values, not colours.
- Transparent parts show white in a picture, as on a page, and black in a mask; `decode_opaque`
  shows the colours that the file has for them.
- 16 bits per channel keep the upper 8, but in `decode_deep`. 32-bit and floating-point images have
  no defined white and are refused, and so are TIFFs of 12 bits or of 16 whose 0 is white.
- Of several pictures in a file (animated GIF, MPO, pages of a TIFF) the first is taken.
- A file that lacks pixels because it was cut off is refused, even if most of it could be shown.
  Damage that leaves a decodable file can't be seen here.
- More than `max_pixels` are refused from the header, before anything is decoded.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.color_profile import conversion_to_srgb
from dataset_handlers.operations.file_kind import describe_other_file
from dataset_handlers.operations.jpeg_header import plain_jpeg_size
from dataset_handlers.operations.orientation import (
    SIDEWAYS,
    UPRIGHT,
    orientation_of,
    turn_upright,
)
from dataset_handlers.operations.pillow_limit import without_pillow_limit
from dataset_handlers.operations.sizing import ResizeMode, inner_size
from dataset_handlers.sdk.errors import BadItemError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
"""JPEG includes MPO, a JPEG with more JPEGs behind it."""

Mode = Literal["RGB", "opaque", "L", "first"]
"""Colour; colour without regard to transparency; grey; the first channel, in full depth."""

_BACKGROUNDS: dict[Mode, int] = {"RGB": 255, "L": 0}
_COLOURED = frozenset({"RGB", "RGBA", "P"})
_FLAGS: dict[Mode, int] = {
    "RGB": cv2.IMREAD_COLOR_BGR,
    "opaque": cv2.IMREAD_COLOR_BGR,
    "L": cv2.IMREAD_GRAYSCALE,
}
_REDUCTIONS = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_END_OF_IMAGE = b"\xff\xd9"
_TAIL_BYTES = 4096
_ROWS_AT_ONCE = 64
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # Source: TIFF 6.0, 8
_ODD_CHANNELS = "channels of 16 bits in an unusual order"
_NO_MEMORY = -4  # cv::Error::StsNoMem
# Pillow's decoders raise all of these on files that are broken in some way.
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError,
    RuntimeError, EOFError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


class Decoded(NamedTuple):
    """An upright image, and the size that it has in its file, upright too."""

    pixels: Pixels
    size: Size
    turned: bool = False
    """Whether its EXIF orientation says that it lies on its side in the file."""


class Reducible(NamedTuple):
    """How far a large JPEG may come reduced to 1/2, 1/4 or 1/8: the decoder leaves out work then.

    `size` and `mode` are those of the `sizing` that follows, for which it must not get too small.
    `exact`: only where its sides can be divided, so that no pixel moves against those of a mask;
    else by less than one of its pixels.
    """

    size: Size
    mode: ResizeMode = "stretch"
    exact: bool = True


def decode_color(data: bytes, max_pixels: int, reducible: Reducible | None = None) -> Decoded:
    """Return uint8 `[height, width, 3]`, blue first, in sRGB. Raises `BadItemError`."""
    return _decode_in_srgb(data, max_pixels, "RGB", reducible)


def decode_opaque(data: bytes, max_pixels: int) -> Decoded:
    """Return what `decode_color` does, with the colours that the file has for transparent parts."""
    return _decode_in_srgb(data, max_pixels, "opaque", None)


def decode_grey(data: bytes, max_pixels: int, reducible: Reducible | None = None) -> Decoded:
    """Return uint8 `[height, width]`. Raises `BadItemError`."""
    return _decode(data, max_pixels, "L", reducible)[0]


def decode_deep(data: bytes, max_pixels: int) -> Decoded:
    """Return the first channel in full depth, uint8 or uint16 `[height, width]`: for depth maps.

    That is grey or red, as the file has it: no colours are mixed, and transparency is not looked
    at. Palettes are looked up; CMYK and other colour spaces become RGB. Raises `BadItemError`.
    """
    image = _open(data, max_pixels)
    if image.format in ("JPEG", "MPO"):
        color, _ = _decode(data, max_pixels, "RGB", None)
        return color._replace(pixels=color.pixels[..., 2].copy())
    if _is_deep_color(image):
        return _decode_deep_color(data, image)
    return _decode_with_pillow(image, "first", None)


def _decode_in_srgb(
    data: bytes, max_pixels: int, mode: Mode, reducible: Reducible | None
) -> Decoded:
    decoded, profile = _decode(data, max_pixels, mode, reducible)
    conversion = conversion_to_srgb(profile) if profile else None
    return decoded._replace(pixels=conversion.apply(decoded.pixels)) if conversion else decoded


def _decode(
    data: bytes, max_pixels: int, mode: Mode, reducible: Reducible | None
) -> tuple[Decoded, bytes | None]:
    """Return also the profile of its colours, if it has colours and one."""
    size = plain_jpeg_size(data)
    if size and _is_whole_jpeg(data):
        _check_pixels(size, max_pixels)
        return _decode_jpeg(data, size, UPRIGHT, mode, reducible), None
    image = _open(data, max_pixels)
    profile = image.info.get("icc_profile") if image.mode in _COLOURED else None
    if image.format == "JPEG" and image.mode in ("RGB", "L") and _is_whole_jpeg(data):
        size = (image.height, image.width)
        return _decode_jpeg(data, size, orientation_of(image), mode, reducible), profile
    return _decode_with_pillow(image, mode, reducible), profile


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header."""
    try:
        with warnings.catch_warnings(), without_pillow_limit():
            warnings.simplefilter("ignore")  # of malformed metadata
            image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise BadItemError(describe_other_file(data)) from error
    except _BROKEN as error:
        raise BadItemError(f"its header is broken ({error})") from error
    _check_pixels((image.height, image.width), max_pixels)
    _check_deep_grey(image)
    return image


def _check_deep_grey(image: Image.Image) -> None:
    """Refuse TIFFs of which Pillow gives other values than they mean."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode.startswith("I;16"):
        if image.tag_v2.get(_BITS) == (12,):
            raise BadItemError("its pixels have 12 bits, which are not read")
        if image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            raise BadItemError("its 16 bits are 0 for white, which is not read")


def _check_pixels(size: Size, max_pixels: int) -> None:
    height, width = size
    if width * height > max_pixels:
        raise BadItemError(
            f"{width}x{height} is {width * height} pixels, max_pixels allows {max_pixels}"
        )


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether a JPEG is not cut off: OpenCV might fill a missing end with grey."""
    return data[-_TAIL_BYTES:].rstrip(b"\0").endswith(_END_OF_IMAGE)


def _decode_jpeg(
    data: bytes, size: Size, orientation: int, mode: Mode, reducible: Reducible | None
) -> Decoded:
    """Decode with OpenCV, which does it as Pillow does, and faster."""
    size = _upright(size, orientation)
    reduction = _REDUCTIONS[_divisor(size, reducible)]
    flags = _FLAGS[mode] | cv2.IMREAD_IGNORE_ORIENTATION | reduction
    pixels = _decode_with_opencv(data, flags, "a broken JPEG")
    return Decoded(turn_upright(pixels, orientation), size, orientation in SIDEWAYS)


def _decode_with_opencv(data: bytes, flags: int, broken: str) -> Pixels:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == _NO_MEMORY:  # the machine's fault, not the item's
            raise MemoryError(str(error)) from error
        raise BadItemError(f"it can't be decoded: {broken}") from error
    if pixels is None:
        raise BadItemError(f"it can't be decoded: {broken}")
    return pixels


def _upright(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation in SIDEWAYS else size


def _divisor(size: Size, reducible: Reducible | None) -> int:
    """Return by how much a JPEG's sides may be divided at most: 8, 4, 2 or 1."""
    if reducible is None:
        return 1
    at_least = inner_size(size, reducible.size, reducible.mode)
    for divisor in (8, 4, 2):
        divides = not any(side % divisor for side in size)
        large = all(side // divisor >= least for side, least in zip(size, at_least, strict=True))
        if large and (divides or not reducible.exact):
            return divisor
    return 1


def _decode_with_pillow(image: Image.Image, mode: Mode, reducible: Reducible | None) -> Decoded:
    try:
        with warnings.catch_warnings(), without_pillow_limit():
            warnings.simplefilter("ignore")
            size = _set_reduction(image, reducible)
            is_turned_tiff = _is_turned_tiff(image)
            # Before its EXIF is asked for: Pillow loads a PNG for that, and a second load of a
            # broken one succeeds.
            image.load()
            # Pillow turns TIFFs upright itself.
            orientation = UPRIGHT if image.format == "TIFF" else orientation_of(image)
            turned = orientation in SIDEWAYS or is_turned_tiff
            pixels = _in_bands(image, mode)
            image.close()  # its pixels too: two images at a time are enough
            pixels = turn_upright(pixels, orientation)
    except _BROKEN as error:
        raise BadItemError(f"it can't be decoded ({error})") from error
    return Decoded(pixels, size or (pixels.shape[0], pixels.shape[1]), turned)


def _is_turned_tiff(image: Image.Image) -> bool:
    """Whether it is a TIFF that Pillow will turn: once it is loaded its tags say so no more."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    return image.tag_v2.get(ExifTags.Base.Orientation) in SIDEWAYS


def _set_reduction(image: Image.Image, reducible: Reducible | None) -> Size | None:
    """Have a JPEG decoded reduced, as far as it may be; return its upright size then."""
    if image.format not in ("JPEG", "MPO"):
        return None
    size = _upright((image.height, image.width), orientation_of(image))
    divisor = _divisor(size, reducible)
    if divisor == 1:
        return None
    image.draft(None, (image.width // divisor, image.height // divisor))
    return size


def _is_deep_color(image: Image.Image) -> bool:
    """Whether several channels have 16 bits each, of which Pillow keeps 8."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    return not image.mode.startswith("I") and any(";16" in str(tile[3]) for tile in tiles)


def _decode_deep_color(data: bytes, image: Image.Image) -> Decoded:
    stored = image.height, image.width
    first = _deep_channels(data, image, cv2.IMREAD_COLOR_BGR)[..., 2].copy()
    size = first.shape[0], first.shape[1]
    return Decoded(first, size, size != stored)


def decode_deep_channels(data: bytes, max_pixels: int) -> Pixels | None:
    """Return all channels of an image whose channels have 16 bits, upright; None of another one.

    uint16 `[height, width]`, `[height, width, 3]` or, with transparency, `[height, width, 4]`, blue
    first. Raises `BadItemError`.
    """
    image = _open(data, max_pixels)
    if image.mode.startswith("I;16"):
        return _decode_with_pillow(image, "first", None).pixels
    if not _is_deep_color(image) or image.mode not in ("RGB", "RGBA", "LA"):
        return None
    if image.mode == "RGB":
        return _deep_channels(data, image, cv2.IMREAD_COLOR_BGR)
    return _deep_channels(data, image, cv2.IMREAD_UNCHANGED)


def _deep_channels(data: bytes, image: Image.Image, channels: int) -> Pixels:
    """Have Pillow say whether the file is whole and what its upper 8 bits are, OpenCV the rest."""
    upper = _decode_with_pillow(image, "first", None).pixels
    pixels = _decode_with_opencv(data, channels | cv2.IMREAD_ANYDEPTH, _ODD_CHANNELS)
    if pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise BadItemError(f"it can't be decoded: {_ODD_CHANNELS}")
    if channels == cv2.IMREAD_UNCHANGED and image.format != "TIFF":  # which is upright already
        pixels = turn_upright(pixels, orientation_of(_open(data, image.width * image.height)))
    if not np.array_equal(pixels[..., 2] >> 8, upper):
        raise BadItemError(f"it can't be decoded: {_ODD_CHANNELS}")
    return pixels


def _in_bands(image: Image.Image, mode: Mode) -> Pixels:
    """Do `_eight_bits`, and hold no more than one copy: each of its steps makes another one."""
    bands = (
        image.crop((0, top, image.width, min(top + _ROWS_AT_ONCE, image.height)))
        for top in range(0, image.height, _ROWS_AT_ONCE)
    )
    channels = (3,) if mode in ("RGB", "opaque") else ()
    deep = mode == "first" and image.mode.startswith("I;16")
    pixels = np.empty((image.height, image.width, *channels), np.uint16 if deep else np.uint8)
    for number, band in enumerate(bands):
        top = number * _ROWS_AT_ONCE
        taken = _first_channel(band) if mode == "first" else _eight_bits(band, mode)
        pixels[top : top + band.height] = taken
    return pixels


def _first_channel(image: Image.Image) -> Pixels:
    _check_white(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.getbands()[0] not in ("L", "R"):
        image = image.convert("RGB")
    return np.asarray(image.getchannel(0))


def _eight_bits(image: Image.Image, mode: Mode) -> Pixels:
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return grey if mode == "L" else np.repeat(grey[..., np.newaxis], 3, axis=2)
    _check_white(image)
    if image.has_transparency_data and mode != "opaque":
        image = _on_background(image.convert("RGBA"), _BACKGROUNDS[mode])
    pixels = np.asarray(image.convert("L" if mode == "L" else "RGB"))
    return pixels if mode == "L" else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)


def _check_white(image: Image.Image) -> None:
    if image.mode in ("I", "F"):
        raise BadItemError("its pixels have 32 bits: what is white is not defined")


def _on_background(image: Image.Image, background: int) -> Image.Image:
    page = Image.new("RGBA", image.size, (background, background, background, 255))
    return Image.alpha_composite(page, image)
