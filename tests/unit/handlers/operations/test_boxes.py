import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.operations.boxes import areas, as_shares, clipped_boxes, moved_boxes
from tests.unit.handlers.operations.test_geometry import geometries


def test_a_box_that_is_turned_is_the_upright_one_around_it():
    def quarter_turn(points):
        return np.stack([10 - points[:, 1], points[:, 0]], axis=1)

    moved = moved_boxes(np.array([[1.0, 2, 3, 6]]), quarter_turn)
    assert moved.tolist() == [[4, 1, 8, 3]]


def test_what_lies_outside_is_cut_off():
    boxes = np.array([[-1.0, 2, 5, 20], [8.0, 8, 9, 9]])
    clipped = clipped_boxes(boxes, (6, 10))
    assert clipped.tolist() == [[0, 2, 5, 10], [6, 8, 6, 9]]
    assert areas(clipped).tolist() == [40, 0]


def test_shares_of_height_and_width():
    assert as_shares(np.array([[1.0, 2, 4, 10]]), (4, 10)).tolist() == [[0.25, 0.2, 1, 1]]


def test_no_boxes():
    none = np.empty((0, 4))
    assert moved_boxes(none, lambda points: points).shape == (0, 4)
    assert clipped_boxes(none, (3, 3)).shape == (0, 4)


@settings(max_examples=80, deadline=None)
@given(geometry=geometries(), data=st.data())
def test_a_box_stays_around_its_object(geometry, data):
    height, width = geometry.size
    top, left = data.draw(st.integers(0, height - 4)), data.draw(st.integers(0, width - 4))
    bottom, right = data.draw(st.integers(top + 4, height)), data.draw(st.integers(left + 4, width))
    mask = np.zeros(geometry.size, np.uint8)
    mask[top:bottom, left:right] = 255
    moved = moved_boxes(np.array([[top, left, bottom, right]], float), geometry.move)
    box = clipped_boxes(moved, geometry.result_size)[0]
    down, across = np.nonzero(geometry.apply(mask, mask=True))
    if not len(down):
        return
    # No pixel of the object outside; around a rectangle that is turned there is room at corners.
    assert box[0] - 0.6 <= down.min() and down.max() + 1 <= box[2] + 0.6
    assert box[1] - 0.6 <= across.min() and across.max() + 1 <= box[3] + 0.6
    if geometry.degrees == 0:
        assert np.abs(box - [down.min(), across.min(), down.max() + 1, across.max() + 1]).max() == 0
