"""Add noise, as a sensor does in little light."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels

_STEPS = 1 << 12
_DIGITS = 9
_ROWS_AT_ONCE = 64
"""So that what is computed stays in the processor's cache."""


def add_noise(
    pixels: Pixels, sigma: float, rng: np.random.Generator, *, spare: bool = False
) -> Pixels:
    """Return every value plus a number of its own, normal with mean 0 and deviation `sigma`.

    The numbers are whole, and what then is below 0 or above 255 is cut off. They come from a table
    of 4096 quantiles, picked by integers at random: numpy's normal numbers go through mathematics
    libraries that differ between machines. `spare`: the pixels are not needed any more, and take
    the result. Raises ValueError if sigma is negative. Source: A. Foi
    et al., "Practical Poissonian-Gaussian Noise Modeling and Fitting for Single-Image Raw-Data",
    2008: the part that does not depend on the signal.
    """
    if sigma < 0:
        raise ValueError(f"sigma {sigma} is negative")
    if not sigma:
        return pixels
    table = np.rint(np.round(_quantiles() * sigma, _DIGITS))
    table = np.clip(table, -255, 255).astype(np.int16)
    noisy = pixels if spare else np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = pixels[top : top + _ROWS_AT_ONCE]
        noise = table[_steps(rows.size, rng).reshape(rows.shape)]
        noise += rows
        noisy[top : top + _ROWS_AT_ONCE] = np.clip(noise, 0, 255, out=noise)
    return noisy


def _steps(count: int, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Return so many numbers below `_STEPS`, four of each 64 bits that the generator makes."""
    words = rng.integers(0, 2**64, -(-count // 4), np.uint64)
    return words.astype("<u8", copy=False).view("<u2")[:count] % _STEPS


@cache
def _quantiles() -> npt.NDArray[np.float64]:
    normal = NormalDist()
    found = np.array([normal.inv_cdf((step + 0.5) / _STEPS) for step in range(_STEPS)])
    scaled: npt.NDArray[np.float64] = found / found.std()
    return scaled
