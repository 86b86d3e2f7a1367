"""The options of reading: what makes no sense is refused in one line that says what would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamill.errors import DatamillError, InvalidOption
from datamill.reading import ReadingOptions

NONSENSE: list[tuple[str, Any, str]] = [
    ("batch_size", 0, "None, a number of records from 1"),
    ("batch_size", -3, "None, a number of records from 1"),
    ("batch_size", 2.0, "None, a number of records from 1"),
    ("batch_size", True, "None, a number of records from 1"),
    ("batch_size", "32", "None, a number of records from 1"),
    ("batch_size", 2**63, "None, a number of records from 1"),
    ("shuffle", 0, "True, False, a buffer's size in records from 1"),
    ("shuffle", -1, "True, False, a buffer's size in records from 1"),
    ("shuffle", 0.5, "True, False, a buffer's size in records from 1"),
    ("shuffle", None, "True, False, a buffer's size in records from 1"),
    ("repeat", 0, "True, False, a number of epochs from 1"),
    ("repeat", -1, "True, False, a number of epochs from 1"),
    ("repeat", None, "True, False, a number of epochs from 1"),
    ("prefetch", -1, "None, a number of batches from 0"),
    ("prefetch", False, "None, a number of batches from 0"),
    ("seed", -1, "None, a number from 0"),
    ("seed", "one", "None, a number from 0"),
    ("streaming", 1, "True or False"),
    ("cache", 1, "True, False or a folder"),
    ("cache", None, "True, False or a folder"),
    ("cache", "", "True, False or a folder"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), NONSENSE, ids=repr)
def test_nonsense_is_refused(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(InvalidOption) as error:
        ReadingOptions(**{name: value})
    text = str(error.value)
    assert text.startswith(f"{name} is {value!r}: it must be ") and text.endswith(allowed)
    assert "\n" not in text
    assert isinstance(error.value, ValueError) and isinstance(error.value, DatamillError)


def test_what_makes_sense() -> None:
    assert ReadingOptions().epochs == 1 and ReadingOptions().shuffle_records == 0
    assert ReadingOptions(shuffle=True, repeat=True).shuffle_records == 10_000
    assert ReadingOptions(repeat=True).epochs is None
    numpy = ReadingOptions(np.int64(4), np.int32(3), np.int64(2), prefetch=0, seed=0)
    assert (numpy.batch_size, numpy.shuffle_records, numpy.epochs) == (4, 3, 2)
    assert ReadingOptions(cache=Path("kept")).cache == Path("kept")
