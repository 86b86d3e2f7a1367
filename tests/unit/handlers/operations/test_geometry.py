"""One geometry moves a picture and its mask alike."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations import geometry as geometry_module
from dataset_handlers.operations.crop import Window
from dataset_handlers.operations.geometry import CropPlace, Geometry, random_geometry
from dataset_handlers.operations.resize import resize
from dataset_handlers.sdk.errors import BadItemError


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    size = draw(st.tuples(st.integers(8, 90), st.integers(8, 90)))
    crop = draw(st.none() | st.tuples(st.integers(1, size[0]), st.integers(1, size[1])))
    return random_geometry(
        size,
        crop_size=crop,
        crop=draw(st.sampled_from(get_args(CropPlace))),
        rotate_degrees=draw(st.sampled_from([0, 10, 90, 180])),
        flip_probability=draw(st.sampled_from([0, 0.5, 1])),
        rng=np.random.default_rng(draw(st.integers(0, 2**32))),
    )


@settings(deadline=None, max_examples=60)
@given(
    geometry=geometries(),
    source=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    data=st.data(),
)
def test_a_pixel_stays_with_its_label(geometry, source, data):
    # Labels are blocks; the picture shows each label as one grey. Wherever the picture still has
    # a pure grey around a pixel, no edge is near, and the mask has to have that very label there.
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    blocks = rng.choice(np.array([0, 255], np.uint8), (source[0] // 9 + 1, source[1] // 9 + 1))
    labels = np.kron(blocks, np.ones((9, 9), np.uint8))[: source[0], : source[1]]
    picture = np.repeat(labels[..., np.newaxis], 3, axis=2)

    moved = geometry.apply(resize(picture, geometry.size))[..., 0].astype(int)
    mask = geometry.apply(resize(labels, geometry.size, nearest=True), mask=True).astype(int)

    assert moved.shape == mask.shape
    assert set(np.unique(mask)) <= {0, 255}
    # Both resampled the same edge, the picture into a ramp around the mask's step: more than half
    # white in the picture is white in the mask, but for rounding in each of two steps.
    sure = (moved < 30) | (moved > 225)
    neighbours_agree = _is_pure(moved)
    assert np.array_equal(
        (moved > 127)[sure & neighbours_agree], (mask > 127)[sure & neighbours_agree]
    )


def _is_pure(picture: np.ndarray) -> np.ndarray:
    """Where the 3x3 around a pixel has one value."""
    padded = np.pad(picture, 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return around.min(axis=(2, 3)) == around.max(axis=(2, 3))


@settings(max_examples=30, deadline=None)
@given(geometry=geometries())
def test_nearest_moves_a_picture_exactly_as_its_mask(geometry):
    indices = np.random.default_rng(0).integers(0, 256, geometry.size, np.uint8)
    three = np.repeat(indices[..., np.newaxis], 3, axis=2)
    moved = geometry.apply(three, mask=True)
    assert np.array_equal(moved[..., 1], geometry.apply(indices, mask=True))


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("flipped", [True, False])
def test_bands_of_large_pictures_are_those_of_the_whole(monkeypatch, mask, flipped):
    pixels = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    expected = Geometry((400, 300), Window(3, 5, 390, 290), 7.0, flipped).apply(pixels, mask=mask)
    monkeypatch.setattr(geometry_module, "_KEPT_PIXELS", 1000)
    found = Geometry((400, 300), Window(3, 5, 390, 290), 7.0, flipped).apply(pixels, mask=mask)
    assert np.array_equal(found, expected)


def test_order_is_rotate_crop_flip():
    pixels = np.arange(36, dtype=np.uint8).reshape(6, 6)
    geometry = Geometry((6, 6), Window(1, 2, 3, 2), degrees=90.0, flipped=True)
    expected = np.rot90(pixels)[1:4, 2:4][:, ::-1]
    assert np.array_equal(geometry.apply(pixels, mask=True), expected)


def test_without_options_nothing_moves():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    geometry = random_geometry(
        (20, 30),
        crop_size=None,
        crop="random_centred",
        rotate_degrees=0,
        flip_probability=0,
        rng=np.random.default_rng(0),
    )
    assert np.array_equal(geometry.apply(pixels), pixels)


def test_flip_probability_is_a_share():
    rng = np.random.default_rng(0)
    flips = [
        random_geometry(
            (4, 4),
            crop_size=None,
            crop="centre",
            rotate_degrees=0,
            flip_probability=0.25,
            rng=rng,
        ).flipped
        for _ in range(4000)
    ]
    assert np.mean(flips) == pytest.approx(0.25, abs=0.03)


def test_angles_are_uniform_either_way():
    rng = np.random.default_rng(0)
    angles = [
        random_geometry(
            (4, 4),
            crop_size=None,
            crop="centre",
            rotate_degrees=30,
            flip_probability=0,
            rng=rng,
        ).degrees
        for _ in range(4000)
    ]
    assert -30 <= min(angles) < -29 and 29 < max(angles) <= 30
    assert np.std(angles) == pytest.approx(30 / np.sqrt(3), rel=0.05)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="the geometry is for"):
        Geometry((6, 6), Window(0, 0, 6, 6)).apply(np.zeros((6, 7), np.uint8))


def test_a_crop_larger_than_the_image_is_a_bad_item():
    with pytest.raises(BadItemError):
        random_geometry(
            (10, 10),
            crop_size=(11, 5),
            crop="centre",
            rotate_degrees=0,
            flip_probability=0,
            rng=np.random.default_rng(0),
        )


@settings(max_examples=80, deadline=None)
@given(geometry=geometries(), data=st.data())
def test_a_point_stays_on_its_pixel(geometry, data):
    height, width = geometry.size
    down, right = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    moved = geometry.move(np.array([[down + 0.5, right + 0.5]]))[0]
    rows, columns = geometry.result_size
    if not (0 <= moved[0] < rows and 0 <= moved[1] < columns):
        return
    # Which pixel of the source does the one show where the point is now?
    places = np.arange(height * width).reshape(height, width)
    low, high = (
        geometry.apply((places >> shift & 255).astype(np.uint8), mask=True) for shift in (0, 8)
    )
    shown = int(low[tuple(moved.astype(int))]) + (int(high[tuple(moved.astype(int))]) << 8)
    shown_down, shown_right = divmod(shown, width)
    # Rotation enlarges: the nearest pixel is at most one beside it.
    assert abs(shown_down - down) <= 1 and abs(shown_right - right) <= 1
    if not geometry.degrees:
        assert (shown_down, shown_right) == (down, right)


def test_moving_changes_no_points_in_place():
    points = np.array([[1.0, 2.0]])
    Geometry((6, 6), Window(1, 1, 4, 4), flipped=True).move(points)
    assert points.tolist() == [[1, 2]]
