"""What each code stands for, computed by other means: exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataset_handlers.depth_encodings import (
    ENCODINGS,
    Range,
    code_distances,
    depth_of_codes,
    encoding_named,
    looked_up,
    order_of_codes,
    present_codes,
    valid_codes,
)

MILLIMETRES = "16-bit, mm, 0=invalid"
DISPARITY = "near=bright, 8-bit relative disparity"
RELATIVE = "near=dark, 8-bit relative"


def depth(name: str, codes: list[int], bits: int, limits: Range | None = None) -> list[float]:
    """Return the depth of pixels."""
    pixels = np.array([codes], np.uint16 if bits == 16 else np.uint8)
    distances = code_distances(ENCODINGS[name], bits, limits)
    valid = valid_codes(ENCODINGS[name], pixels)
    table = depth_of_codes(distances, present_codes(pixels, valid))
    (row,) = looked_up(table, pixels, valid).tolist()
    return row


def test_millimetres():
    # 1 m, 2 m, 5 m; nothing seen; 7-Scenes' way of saying so.
    assert depth(MILLIMETRES, [1000, 2000, 5000, 0, 65535], 16) == [0, 0.25, 1, 0, 0]
    pixels = np.array([[1, 0, 65535, 65534]], np.uint16)
    assert valid_codes(ENCODINGS[MILLIMETRES], pixels).tolist() == [[255, 0, 0, 255]]


def test_disparity():
    # Bright is near, and so 0.
    assert depth(DISPARITY, [255, 204, 0], 8) == [0, 0.2, 1]
    assert depth(DISPARITY, [200, 150, 100], 8) == [0, 0.5, 1]


def test_relative_depth():
    assert depth(RELATIVE, [0, 51, 255], 8) == [0, 0.2, 1]


@pytest.mark.parametrize("name", [DISPARITY, RELATIVE])
def test_eight_bits_have_no_invalid_code(name):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (valid_codes(ENCODINGS[name], pixels) == 255).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_range_linear(bits):
    largest = 2**bits - 1
    got = depth("RangeLinear", [0, largest // 5, largest], bits, Range(0.5, 3))
    assert got == [0, 0.2, 1]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("near", "far"), [(29.3, 878.7), (1, 2), (1e-5, 1e4)])
def test_range_inverse_is_turned_back(bits, near, far):
    largest = 2**bits - 1
    codes = [0, 1, largest // 3, largest // 2, largest - 1, largest]
    got = depth("RangeInverse", codes, bits, Range(near, far))
    for code, value in zip(codes, got, strict=True):
        # As the metadata's page has it: n = far (d - near) / (d (far - near)).
        distance = Fraction(near) + Fraction(value) * (Fraction(far) - Fraction(near))
        span = Fraction(far) - Fraction(near)
        encoded = Fraction(far) * (distance - Fraction(near)) / (distance * span)
        assert float(encoded * largest) == pytest.approx(code, abs=1e-6 * largest)
    assert got[0] == 0 and got[-1] == 1


def test_range_inverse_has_more_codes_for_what_is_near():
    half = depth("RangeInverse", [0, 128, 255], 8, Range(1, 10))[1]
    assert half == pytest.approx((1 / (1 - 128 / 255 * 0.9) - 1) / 9)
    assert half < 0.1


@given(codes=arrays(np.uint16, (4, 6), elements=st.integers(0, 65535)))
def test_the_nearest_is_0_and_the_farthest_1_exactly_in_between(codes):
    encoding = ENCODINGS[MILLIMETRES]
    valid = valid_codes(encoding, codes)
    table = depth_of_codes(code_distances(encoding, 16, None), present_codes(codes, valid))
    got = looked_up(table, codes, valid)
    known = [int(code) for code in codes[valid > 0]]
    for code, value in zip(codes.ravel().tolist(), got.ravel().tolist(), strict=True):
        if code in (0, 65535) or min(known) == max(known):
            assert value == 0
        else:
            assert value == float(Fraction(code - min(known), max(known) - min(known)))


@given(
    codes=arrays(np.uint8, (3, 5), elements=st.integers(0, 255)),
    name=st.sampled_from([DISPARITY, RELATIVE, "RangeInverse"]),
)
def test_the_order_alone(codes, name):
    encoding = ENCODINGS[name]
    distances = code_distances(encoding, 8, Range(1, 7))
    valid = valid_codes(encoding, codes)
    got = looked_up(order_of_codes(distances, present_codes(codes, valid)), codes, valid)
    distinct = sorted(set(codes.ravel().tolist()), reverse=name == DISPARITY)
    last = max(len(distinct) - 1, 1)
    for code, value in zip(codes.ravel().tolist(), got.ravel().tolist(), strict=True):
        assert value == float(Fraction(distinct.index(code), last))


def test_nothing_known_is_0_all_over():
    assert depth(MILLIMETRES, [0, 0, 65535], 16) == [0, 0, 0]
    table = order_of_codes(np.arange(256.0), np.zeros(256, bool))
    assert not table.any()


def test_more_rows_than_are_done_at_once():
    codes = np.random.default_rng(0).integers(0, 256, (150, 7), np.uint8)
    valid = np.full(codes.shape, 255, np.uint8)
    valid[100:, 3] = 0
    expected = np.where(valid > 0, codes, 0) / 2
    assert np.array_equal(looked_up(np.arange(256) / 2, codes, valid), expected)
    present = present_codes(codes, valid)
    assert np.flatnonzero(present).tolist() == sorted(set(codes[valid > 0].tolist()))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("16-BIT,  mm, 0=invalid ", MILLIMETRES),
        ("rangeinverse", "RangeInverse"),
        ("near=bright, 8-bit", None),
        ("", None),
    ],
)
def test_names(text, name):
    assert encoding_named(text) == name
