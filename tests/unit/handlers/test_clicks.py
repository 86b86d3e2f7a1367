"""Clicks lie where they must: every distance is measured again, by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.clicks import (
    Spacing,
    clicks_along,
    clicks_around,
    clicks_in_others,
    positive_clicks,
)

SIZE = (40, 50)


@st.composite
def objects(draw: st.DrawFn) -> np.ndarray:
    """A mask of rectangles and disks."""
    mask = np.zeros(SIZE, np.uint8)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for _ in range(draw(st.integers(1, 3))):
        row, column = draw(st.integers(0, SIZE[0] - 1)), draw(st.integers(0, SIZE[1] - 1))
        if draw(st.booleans()):
            height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
            mask[row : row + height, column : column + width] = 255
        else:
            radius = draw(st.integers(1, 20))
            mask[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 255
    return mask


spacings = st.builds(
    Spacing,
    from_border=st.integers(0, 12),
    from_each_other=st.integers(0, 25),
    around=st.integers(12, 30),
)
counts = st.integers(1, 12)
seeds = st.integers(0, 2**32)


def distances(flags: np.ndarray) -> np.ndarray:
    """Each pixel's distance to the nearest that is set; endless if there is none."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    squares = np.full(SIZE, np.inf)
    for row, column in np.argwhere(flags).tolist():
        np.minimum(squares, (rows - row) ** 2 + (columns - column) ** 2, out=squares)
    return np.sqrt(squares)


def check_apart(clicks, spacing):
    assert len(set(clicks)) == len(clicks)
    for one, other in itertools.combinations(clicks, 2):
        assert np.hypot(one[0] - other[0], one[1] - other[1]) >= spacing.from_each_other


def check_full(clicks, count, allowed, spacing):
    """Fewer clicks than asked for only where there is no room for one more."""
    assert len(clicks) <= count
    if len(clicks) < count:
        taken = np.zeros(SIZE, bool)
        for row, column in clicks:
            taken[row, column] = True
        assert not (allowed & (distances(taken) >= max(1, spacing.from_each_other))).any()


@settings(max_examples=60, deadline=None)
@given(mask=objects(), spacing=spacings, count=counts, seed=seeds)
def test_positive_clicks(mask, spacing, count, seed):
    clicks = positive_clicks(mask, count, spacing, np.random.default_rng(seed))
    depth = np.where(mask > 0, distances(mask == 0), 0)
    at_least = min(spacing.from_border, depth.max())
    assert clicks
    for click in clicks:
        assert mask[click] and depth[click] >= at_least
    check_apart(clicks, spacing)
    check_full(clicks, count, (mask > 0) & (depth >= at_least), spacing)


@settings(max_examples=60, deadline=None)
@given(mask=objects(), spacing=spacings, count=counts, seed=seeds, half=st.booleans())
def test_clicks_around(mask, spacing, count, seed, half):
    shown = np.ones(SIZE, bool)
    shown[:, SIZE[1] // 2 :] = not half
    given_shown = shown if half else None
    clicks = clicks_around(mask, given_shown, count, spacing, np.random.default_rng(seed))
    far = distances(mask > 0)
    allowed = (far >= max(1, spacing.from_border)) & (far <= spacing.around) & shown
    assert all(allowed[click] for click in clicks)
    check_apart(clicks, spacing)
    check_full(clicks, count, allowed, spacing)


@settings(max_examples=60, deadline=None)
@given(mask=objects(), spacing=spacings, count=counts, seed=seeds)
def test_clicks_along_the_border(mask, spacing, count, seed):
    clicks = clicks_along(mask, None, count, spacing, np.random.default_rng(seed))
    far = distances(mask > 0)
    line = max(1, spacing.from_border)
    allowed = (far >= line) & (far < line + 1)
    assert bool(clicks) == allowed.any()
    assert all(allowed[click] for click in clicks)
    check_apart(clicks, spacing)
    check_full(clicks, count, allowed, spacing)
    # Each is as far from those before it as a place can be.
    places = np.argwhere(allowed)
    for number in range(1, len(clicks)):
        before = np.array(clicks[:number])
        to_nearest = ((places[:, np.newaxis] - before) ** 2).sum(axis=2).min(axis=1)
        own = ((np.array(clicks[number]) - before) ** 2).sum(axis=1).min()
        assert own == to_nearest.max()


@settings(max_examples=60, deadline=None)
@given(
    mask=objects(),
    others=st.lists(st.tuples(objects(), st.integers(1, 5)), max_size=3),
    spacing=spacings,
    seed=seeds,
)
def test_clicks_in_other_objects(mask, others, spacing, seed):
    given = ((other.copy(), most) for other, most in others)
    clicks = clicks_in_others(mask, given, spacing, np.random.default_rng(seed))
    check_apart(clicks, spacing)
    seen = [np.where(mask > 0, 0, other) > 0 for other, _ in others]
    assert len(clicks) <= sum(count for (_, count), one in zip(others, seen, strict=True))
    depths = [np.where(one, distances(~one), 0) for one in seen]
    for click in clicks:
        assert not mask[click]
        assert any(
            one[click] and depth[click] >= min(spacing.from_border, depth.max())
            for one, depth in zip(seen, depths, strict=True)
        )
    if any(one.any() for one in seen):
        assert clicks


def test_every_place_is_as_likely():
    mask = np.zeros((3, 4), np.uint8)
    mask[1, 1:] = mask[0, 0] = 255
    rng, spacing = np.random.default_rng(0), Spacing(0, 0, 1)
    drawn = [positive_clicks(mask, 1, spacing, rng)[0] for _ in range(4000)]
    places, times = np.unique(drawn, axis=0, return_counts=True)
    assert places.tolist() == [[0, 0], [1, 1], [1, 2], [1, 3]]
    assert times.min() > 900


def test_clicks_along_a_disk_are_spread_evenly():
    rows, columns = np.mgrid[:201, :201]
    mask = (((rows - 100) ** 2 + (columns - 100) ** 2 <= 60**2) * 255).astype(np.uint8)
    spacing = Spacing(5, 0, 40)
    clicks = clicks_along(mask, None, 8, spacing, np.random.default_rng(3))
    angles = np.sort([np.arctan2(row - 100, column - 100) for row, column in clicks])
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    assert gaps.max() == pytest.approx(np.pi / 4, abs=0.1)
    assert gaps.min() == pytest.approx(np.pi / 4, abs=0.1)


def test_clicks_along_the_border_as_far_away_as_they_may_be():
    mask = np.zeros((3, 400), np.uint8)
    mask[:, 0] = 255
    rng = np.random.default_rng(0)
    clicks = clicks_along(mask, None, 5, Spacing(180, 1, 180), rng)
    assert sorted(clicks) == [(0, 180), (1, 180), (2, 180)]
    clicks = clicks_around(mask, None, 5, Spacing(180, 1, 180), rng)
    assert sorted(clicks) == [(0, 180), (1, 180), (2, 180)]


def test_an_object_that_is_all_of_the_picture_has_no_negative_clicks():
    mask = np.full((20, 30), 255, np.uint8)
    spacing, rng = Spacing(5, 5, 40), np.random.default_rng(0)
    assert clicks_around(mask, None, 5, spacing, rng) == []
    assert clicks_along(mask, None, 5, spacing, rng) == []
    assert clicks_in_others(mask, [(mask.copy(), 3)], spacing, rng) == []
    assert len(positive_clicks(mask, 3, spacing, rng)) == 3
