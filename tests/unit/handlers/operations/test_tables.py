import numpy as np

from dataset_handlers.operations.tables import as_table


def test_values_are_rounded_and_cut_off():
    table = as_table(np.array([-np.inf, -3.0, 0.4, 0.6, 1.5, 2.5, 254.6, 256, 1e300, np.inf]))
    assert table.dtype == np.uint8
    assert table.tolist() == [0, 0, 0, 1, 2, 2, 255, 255, 255, 255]


def test_the_last_digits_decide_nothing():
    for least in (-1e-9, 0, 1e-9):
        assert as_table(np.array([3.5, 4.5]) + least).tolist() == [4, 4]
