"""Tables of 256 values, by which pixels are looked up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_DIGITS = 6
"""Mathematics libraries differ far behind this; nothing of it may decide how a value is rounded."""


def as_table(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return the values rounded, from 0 to 255."""
    return np.clip(np.rint(np.round(values, _DIGITS)), 0, 255).astype(np.uint8)
