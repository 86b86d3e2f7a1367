import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from dataset_handlers.annotations.segmentation import box_of, compressed_runs, mask_of, pixels_of
from dataset_handlers.sdk.errors import BadItemError
from tests.unit.handlers.coco_raw import rectangle, runs_of

masks = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.sampled_from([0, 1])
)


def pixels(segmentation, size):
    return pixels_of(mask_of(segmentation, size))


@settings(max_examples=100, deadline=None)
@given(mask=masks)
def test_run_lengths_plain_and_compressed(mask):
    size, runs = mask.shape, runs_of(mask)
    assert np.array_equal(pixels({"size": list(size), "counts": runs}, size), mask * 255)
    text = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    assert compressed_runs(text) == runs
    assert np.array_equal(pixels({"size": list(size), "counts": text}, size), mask * 255)


def test_polygons_of_one_object_are_put_together():
    expected = np.zeros((20, 30), np.uint8)
    expected[2:10, 3:12] = expected[5:15, 8:20] = 255
    polygons = [rectangle(2, 3, 10, 12), rectangle(5, 8, 15, 20)]
    assert np.array_equal(pixels(polygons, (20, 30)), expected)


@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_no_segmentation(nothing):
    assert mask_of(nothing, (20, 30)) is None


BAD = [
    ([[1, 1, 5, 5]], "a polygon has 2 points, 3 are the least"),
    ([[]], "a polygon has 0 points, 3 are the least"),
    ([[1, 1, 5, 5, 9, 9, 3]], "a polygon has 7 numbers, which are no pairs"),
    ([1, 1, 5, 5, 9, 9], "a polygon is no list of numbers"),
    ([[1, 1, 5, 5, 9, "9"]], "a polygon is no list of numbers"),
    ([[1, 1, 5, 5, 9, None]], "a polygon is no list of numbers"),
    ([[1, 1, 5, 5, 9, float("nan")]], "a polygon is no list of numbers"),
    ([[1, 1, 5, 5, 9, 10**400]], "a polygon is no list of numbers"),
    ([[1, 1, 5, 5, 1e9, 9]], "a polygon has a point far outside the picture, (1e+09, 9)"),
    ("polygons", "its segmentation is neither polygons nor run lengths"),
    (7, "its segmentation is neither polygons nor run lengths"),
    ({"counts": [600]}, "its run lengths are for None, the picture is [20, 30]"),
    ({"size": [1, 1], "counts": [5, 3]}, "its run lengths are for [1, 1], the picture is [20, 30]"),
    ({"size": [20, 30]}, "its run lengths are no integers from 0"),
    ({"size": [20, 30], "counts": [1.5]}, "its run lengths are no integers from 0"),
    ({"size": [20, 30], "counts": [601, -1]}, "its run lengths are no integers from 0"),
    ({"size": [20, 30], "counts": [5, 3]}, "its run lengths add up to 8, not to 600"),
    ({"size": [20, 30], "counts": [10**12]}, "its run lengths add up to 1000000000000, not to 600"),
    ({"size": [20, 30], "counts": "é"}, "its run lengths are no compressed RLE"),
    ({"size": [20, 30], "counts": "o" * 40}, "its run lengths are no compressed RLE"),
    ({"size": [20, 30], "counts": "5P"}, "its run lengths are cut off"),
    ({"size": [20, 30], "counts": "5"}, "its run lengths add up to 5, not to 600"),
]  # fmt: skip


@pytest.mark.parametrize(("segmentation", "reason"), BAD)
def test_what_is_broken(segmentation, reason):
    with pytest.raises(BadItemError) as caught:
        mask_of(segmentation, (20, 30))
    assert str(caught.value) == reason


def test_a_picture_too_large_for_run_lengths():
    with pytest.raises(BadItemError, match="too large for run lengths"):
        mask_of([rectangle(0, 0, 5, 5)], (100_000, 100_000))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["size", "counts"]), inner)
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    segmentation=anything
    | st.fixed_dictionaries({"size": st.just([5, 7]), "counts": st.lists(st.integers(-5, 40))})
    | st.fixed_dictionaries({"size": st.just([5, 7]), "counts": st.text("0123ABPo`mn", max_size=9)})
    | st.lists(st.lists(st.floats(-10, 20) | st.integers(), min_size=6, max_size=8), max_size=2)
)
def test_anything_is_a_mask_or_refused(segmentation):
    try:
        mask = mask_of(segmentation, (5, 7))
    except BadItemError:
        return
    assert mask is None or set(np.unique(pixels_of(mask))) <= {0, 255}


def test_boxes():
    assert box_of([3, 2, 7, 5]).tolist() == [2, 3, 7, 10]


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        (None, "it has neither a segmentation nor a bbox of four numbers"),
        ([1, 2, 3], "it has neither a segmentation nor a bbox of four numbers"),
        ([1, 2, 3, "4"], "it has neither a segmentation nor a bbox of four numbers"),
        ([1, 2, 0, 4], "it has no segmentation, and its bbox is 0 by 4"),
    ],
)
def test_boxes_that_are_none(bbox, reason):
    with pytest.raises(BadItemError) as caught:
        box_of(bbox)
    assert str(caught.value) == reason
