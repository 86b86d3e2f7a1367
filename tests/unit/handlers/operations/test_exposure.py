import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_handlers.operations.exposure import expose
from tests.unit.handlers.operations.colours import GREYS, PICTURES, SOME, is_rounded


def exposed(value: int, stops: float) -> float:
    """IEC 61966-2-1, for one value, written out."""
    share = value / 255
    light = share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
    light = min(1.0, light * 2**stops)
    share = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return 255 * share


@given(stops=st.floats(-8, 8))
def test_light_is_doubled_for_each_stop(stops):
    expected = np.reshape([exposed(value, stops) for value in range(256)], GREYS.shape)
    assert is_rounded(expose(GREYS, stops), expected)


def test_known_values():
    # Half of the light of white is 188 of 255 in sRGB, a quarter 137.
    assert expose(np.array([[255, 188, 137]], np.uint8), -1).tolist() == [[188, 137, 99]]
    assert expose(np.array([[188, 137, 0]], np.uint8), 1).tolist() == [[255, 188, 0]]


@pytest.mark.parametrize("pixels", PICTURES)
def test_no_stops_change_nothing(pixels):
    assert np.array_equal(expose(pixels, 0), pixels)


@pytest.mark.parametrize("stops", [-1000, -8, -0.3, 0.3, 8, 1000])
def test_order_stays_and_black_stays_black(stops):
    values = expose(GREYS, stops).astype(int).ravel()
    assert values[0] == 0 and (np.diff(values) >= 0).all()


def test_channels_alike_and_nothing_in_place():
    pixels = SOME.copy()
    found = expose(pixels, 1.5)
    assert np.array_equal(pixels, SOME)
    table = expose(GREYS, 1.5).ravel()
    assert np.array_equal(found, table[SOME])
