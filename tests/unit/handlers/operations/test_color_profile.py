"""LittleCMS, by Pillow, is the reference; profiles are written here by hand."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from dataset_handlers.operations.color_profile import conversion_to_srgb
from dataset_handlers.operations.decode import decode_color, decode_deep, decode_grey
from tests.unit.handlers.operations.colours import SOME, grey_as_colour
from tests.unit.handlers.pictures import gradient

# Red, green and blue in XYZ, adapted to D50.
DISPLAY_P3 = [(0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)]
ADOBE_RGB = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)]
LIMIT = 10_000_000


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def para(kind: int, *numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*numbers)


def curv(*points: int) -> bytes:
    body = b"curv\0\0\0\0" + struct.pack(f">I{len(points)}H", len(points), *points)
    return body + b"\0" * (-len(body) % 4)


SRGB_CURVE = para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
GAMMA_2_2 = curv(563)  # 563 / 256, as Adobe RGB has it


def profile(
    colours: list[tuple[float, ...]], curve: bytes, spaces: bytes = b"RGB XYZ ", **others: bytes
) -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Test\0" + b"\0" * 79
    tags = {
        b"desc": text,
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
        **{
            name: b"XYZ \0\0\0\0" + fixed(*colour)
            for name, colour in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colours, strict=True)
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
        **{name.encode(): other for name, other in others.items()},
    }
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        tag += b"\0" * (-len(tag) % 4)
        table += struct.pack(">4sII", name, at + len(body), len(tag))
        body += tag
    head = struct.pack(">II", at + len(body), 0) + b"\x04\x20\0\0mntr" + spaces
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + table + body


def by_littlecms(pixels: np.ndarray, icc: bytes) -> np.ndarray:
    """Colours are red first there."""
    image = Image.fromarray(pixels[..., ::-1].copy())
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    return np.asarray(converted)[..., ::-1].astype(int)


CURVES = {
    "sRGB": SRGB_CURVE,
    "2.2": GAMMA_2_2,
    "linear": curv(),
    "table": curv(*(round(65535 * (number / 1023) ** 1.8) for number in range(1024))),
    "a power": para(0, 1.8),
    "from a point": para(1, 2.0, 1.02, -0.02),
    "from a height": para(2, 2.0, 0.98, -0.01, 0.02),
    "all seven": para(4, 2.4, 0.93, 0.05, 0.07, 0.04, 0.01, 0.002),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("colours", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
def test_it_is_what_littlecms_does(colours, curve):
    icc = profile(colours, CURVES[curve])
    for pixels in (SOME, gradient(64, 64)[..., ::-1].copy(), grey_as_colour()):
        found = conversion_to_srgb(icc).apply(pixels).astype(int)
        assert np.abs(found - by_littlecms(pixels, icc)).max() <= 2
        assert np.abs(found - by_littlecms(pixels, icc)).mean() < 0.2


def test_each_channel_has_its_curve():
    icc = profile(ADOBE_RGB, GAMMA_2_2, rTRC=CURVES["sRGB"], bTRC=CURVES["table"])
    found = conversion_to_srgb(icc).apply(SOME).astype(int)
    assert np.abs(found - by_littlecms(SOME, icc)).max() <= 2


def by_css(red: int, green: int, blue: int) -> np.ndarray:
    """CSS Color Module Level 4, 17: from display-p3, without a profile."""
    share = np.array([red, green, blue]) / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    p3_to_srgb = [
        [1.2249401763, -0.2249401763, 0],
        [-0.0420569547, 1.0420569547, 0],
        [-0.0196375546, -0.0786360456, 1.0982736001],
    ]
    light = np.clip(p3_to_srgb @ light, 0, 1)
    share = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return share * 255


@pytest.mark.parametrize(
    "colour", [(230, 76, 51), (40, 180, 90), (20, 30, 200), (255, 255, 255), (9, 8, 7)]
)
def test_display_p3_is_what_css_makes_of_it(colour):
    p3 = conversion_to_srgb(profile(DISPLAY_P3, SRGB_CURVE))
    pixel = np.array([[colour[::-1]]], np.uint8)
    assert np.abs(p3.apply(pixel)[0, 0, ::-1] - by_css(*colour)).max() <= 1.6


@pytest.mark.parametrize("colours", [DISPLAY_P3, ADOBE_RGB])
def test_grey_stays_grey_and_ends_stay(colours):
    grey = conversion_to_srgb(profile(colours, SRGB_CURVE)).apply(grey_as_colour())
    assert np.abs(grey.astype(int) - grey_as_colour()).max() <= 1
    assert (grey[0, 0] == 0).all() and (grey[-1, -1] == 255).all()


@pytest.mark.parametrize(
    "icc",
    [
        profile(SRGB, SRGB_CURVE),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profile(SRGB, curv(*(round(65535 * (n / 255) ** 2.2) for n in range(256))))[:200],
        profile(DISPLAY_P3, SRGB_CURVE, b"GRAYXYZ "),
        profile(DISPLAY_P3, SRGB_CURVE, b"CMYKLab "),
        profile(DISPLAY_P3, SRGB_CURVE, b"RGB Lab "),
        profile([(0, 0, 0)] * 3, b"none"),
        profile(DISPLAY_P3, para(1, 2.0, 0.0, 1.0)),
        profile(DISPLAY_P3, para(7, 2.0)),
        profile(DISPLAY_P3, para(0, -2.0)),
        profile(DISPLAY_P3, curv(0)),
        profile([(9000.0, 1, 1), (1, 9000.0, 1), (1, 1, 9000.0)], SRGB_CURVE),
        b"",
        b"no profile at all",
        b"\0" * 128 + b"\xff" * 400,
    ],
    ids=lambda icc: f"{len(icc)} bytes",
)
def test_other_profiles_convert_nothing(icc):
    assert conversion_to_srgb(icc) is None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_profiles_do_no_harm(data):
    kind = data.draw(st.sampled_from(sorted(CURVES)))
    body = bytearray(profile(ADOBE_RGB, CURVES[kind]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
    conversion = conversion_to_srgb(bytes(body[: data.draw(st.integers(0, len(body)))]))
    if conversion:
        assert conversion.apply(SOME).shape == SOME.shape


def test_nothing_is_changed_in_place_and_windows_are_converted():
    pixels = SOME.copy()
    conversion = conversion_to_srgb(profile(ADOBE_RGB, GAMMA_2_2))
    found = conversion.apply(pixels)
    assert np.array_equal(pixels, SOME)
    assert np.array_equal(conversion.apply(pixels[3:50, 5:30]), found[3:50, 5:30])


def test_colours_beyond_srgb_are_cut_off():
    green = np.array([[[0, 255, 0]]], np.uint8)
    assert conversion_to_srgb(profile(ADOBE_RGB, GAMMA_2_2)).apply(green).tolist() == [
        [[0, 255, 0]]
    ]


# In files.

ICC = profile(DISPLAY_P3, SRGB_CURVE)


def saved(image: Image.Image, file_format: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file_format", "settings"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 98}),
        ("JPEG", {"quality": 98, "progressive": True}),
        ("MPO", {"quality": 98, "save_all": True}),
    ],
)
def test_a_picture_is_converted_masks_and_depths_are_not(file_format, settings):
    image = Image.fromarray(gradient(40, 60))
    plain = saved(image, file_format, **settings)
    tagged = saved(image, file_format, icc_profile=ICC, **settings)
    expected = by_littlecms(decode_color(plain, LIMIT).pixels, ICC)
    assert np.abs(decode_color(tagged, LIMIT).pixels - expected).max() <= 2
    for decode in (decode_grey, decode_deep):
        assert np.array_equal(decode(tagged, LIMIT).pixels, decode(plain, LIMIT).pixels)


def test_transparent_and_palette_pictures_are_converted():
    flat = Image.new("RGBA", (8, 8), (230, 76, 51, 255))
    for image in (flat, flat.convert("RGB").quantize(4)):
        pixels = decode_color(saved(image, "PNG", icc_profile=ICC), LIMIT).pixels
        assert np.abs(pixels[0, 0, ::-1] - by_css(230, 76, 51)).max() <= 1.6


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_modes_are_not_converted(mode):
    image = Image.fromarray(gradient(40, 60)).convert(mode)
    plain, tagged = (saved(image, "JPEG", **more) for more in ({}, {"icc_profile": ICC}))
    assert np.array_equal(decode_color(tagged, LIMIT).pixels, decode_color(plain, LIMIT).pixels)


def test_a_profile_of_srgb_changes_nothing():
    image = Image.fromarray(gradient(40, 60))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, tagged = (saved(image, "JPEG", **more) for more in ({}, {"icc_profile": srgb}))
    assert np.array_equal(decode_color(tagged, LIMIT).pixels, decode_color(plain, LIMIT).pixels)
