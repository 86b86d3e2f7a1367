"""Colours as an embedded ICC profile means them, in sRGB.

Phones and cameras write wide-gamut pictures (Display P3, Adobe RGB) whose numbers, taken for sRGB,
show paler colours. Their profiles hold a curve per channel and a matrix, which are read here and
applied in integers: LittleCMS computes its tables in floating point, so that bytes might differ
between processors. Source: ICC.1:2022, 7, 9.2 and 10; F.3 for the formula; IEC 61966-2-1 for sRGB.

Profiles of sRGB, or so close that hardly a value changes, convert nothing: they are on most
pictures that have any. So do profiles of other kinds (grey, CMYK, tables instead of a matrix) and
broken ones; PNG's chunks gAMA and cHRM are not looked at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels

_HEADER_BYTES = 128
_SPACES = slice(16, 24)
_RGB_TO_XYZ = b"RGB XYZ "
_TAG = struct.Struct(">4sII")
_MOST_TAGS = 100
_FIXED = 65536
"""s15Fixed16Number."""

# Of sRGB's red, green and blue, adapted to D50 by Bradford's method, as its profiles have them.
_SRGB = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7139]])

_LIGHT_BITS = 15
_WEIGHT_BITS = 13
_LARGEST_ROW = 8
"""Of absolute weights: 15 and 13 bits and this still fit into 32."""
_DIGITS = 9
_ROWS_AT_ONCE = 32
_SEEN = 4
"""A profile that changes no colour by so many steps of 255 is one of sRGB."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Conversion:
    """From a profile's colours to sRGB."""

    light: list[npt.NDArray[np.int32]]
    """Of blue, green and red: how much light each of 256 values is."""
    weights: list[list[int]]
    """`[3][3]`: blue, green, red of sRGB by those of the profile."""

    def apply(self, pixels: Pixels) -> Pixels:
        """Return a picture `[height, width, 3]`, blue first, in sRGB; cut off what it lacks."""
        converted = np.empty(pixels.shape, np.uint8)
        for top in range(0, len(pixels), _ROWS_AT_ONCE):
            rows = slice(top, top + _ROWS_AT_ONCE)
            planes = cv2.split(pixels[rows])
            light = [cv2.LUT(plane, table) for plane, table in zip(planes, self.light, strict=True)]
            cv2.merge([_encoded(light, row) for row in self.weights], converted[rows])
        return converted


def _encoded(light: list[Pixels], row: list[int]) -> Pixels:
    total = light[0] * row[0]
    total += 1 << (_WEIGHT_BITS - 1)
    for plane, weight in zip(light[1:], row[1:], strict=True):
        total += plane * weight
    total >>= _WEIGHT_BITS
    np.clip(total, 0, (1 << _LIGHT_BITS) - 1, out=total)
    values: Pixels = np.take(_srgb_values(), total)
    return values


@lru_cache(maxsize=8)
def conversion_to_srgb(profile: bytes) -> Conversion | None:
    """Return how an ICC profile's colours become sRGB; None if they are to stay as they are."""
    try:
        curves, matrix = _curves_and_matrix(profile)
    except (struct.error, ValueError, LookupError, ArithmeticError, np.linalg.LinAlgError):
        return None
    usable = all(np.isfinite(curve).all() for curve in curves) and np.isfinite(matrix).all()
    if not usable or np.abs(matrix).sum(axis=1).max() >= _LARGEST_ROW:
        return None
    top = (1 << _LIGHT_BITS) - 1
    conversion = Conversion(
        [np.rint(np.round(curve * top, _DIGITS)).astype(np.int32) for curve in curves[::-1]],
        np.rint(np.round(matrix[::-1, ::-1], _DIGITS) * (1 << _WEIGHT_BITS)).astype(int).tolist(),
    )
    return conversion if _is_seen(conversion) else None


def _is_seen(conversion: Conversion) -> bool:
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 6, 3)
    changed = conversion.apply(colours).astype(int) - colours
    return bool(np.abs(changed).max() >= _SEEN)


def _curves_and_matrix(profile: bytes) -> tuple[list[Floats], Floats]:
    """Return the light of 256 values of red, green, blue, and the matrix to sRGB's light."""
    if profile[_SPACES] != _RGB_TO_XYZ:
        raise ValueError("no matrix from RGB")
    tags = _tags(profile)
    curves = [np.clip(_curve(tags[name]), 0, 1) for name in (b"rTRC", b"gTRC", b"bTRC")]
    columns = [_fixed(tags[name], 8, 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return curves, np.linalg.inv(_SRGB) @ np.stack(columns, axis=1)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    found = {}
    for number in range(min(count, _MOST_TAGS)):
        name, start, length = _TAG.unpack_from(profile, _HEADER_BYTES + 4 + number * _TAG.size)
        found[name] = profile[start : start + length]
    return found


def _curve(tag: bytes) -> Floats:
    """Return what a `curv` or `para` gives for 256 values from 0 to 1."""
    shares = np.arange(256) / 255
    if tag.startswith(b"para"):
        return _parametric(tag, shares)
    if not tag.startswith(b"curv"):
        raise ValueError("an unknown curve")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return shares
    if count == 1:
        gamma = struct.unpack_from(">H", tag, 12)[0] / 256
        return _power(shares, gamma)
    points = np.frombuffer(tag, ">u2", count, 12) / 65535
    return np.interp(shares, np.arange(count) / (count - 1), points)


def _parametric(tag: bytes, shares: Floats) -> Floats:
    """Return (a x + b)^g + e from d on, c x + f below; simpler types lack some of these."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind]
    g, a, b, c, d, e, f = [*_fixed(tag, 12, count), *_IDENTITY[count:]]
    if kind in (1, 2):
        # From -b / a on; below, nothing but what is added: c, which the others call e and f.
        c, d, e, f = 0.0, -b / a, c, c
    return np.where(shares >= d, _power(np.maximum(a * shares + b, 0), g) + e, c * shares + f)


_IDENTITY = (1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def _power(shares: Floats, gamma: float) -> Floats:
    if gamma <= 0:
        raise ValueError("no curve")
    powers: Floats = shares**gamma
    return powers


def _fixed(tag: bytes, start: int, count: int) -> list[float]:
    return [number / _FIXED for number in struct.unpack_from(f">{count}i", tag, start)]


@lru_cache(maxsize=1)
def _srgb_values() -> npt.NDArray[np.uint8]:
    """Return the value of each amount of light."""
    light = np.arange(1 << _LIGHT_BITS) / ((1 << _LIGHT_BITS) - 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(np.round(value * 255, _DIGITS)).astype(np.uint8)
