"""Add noise, as a sensor does in little light."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from dataset_handlers.operations.arrays import Pixels

_STEPS = 1 << 12
_DIGITS = 9


def add_noise(pixels: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Return every value plus a number of its own, normal with mean 0 and deviation `sigma`.

    The numbers come from a table of 4096 quantiles, picked by integers at random: numpy's normal
    numbers go through mathematics libraries that differ between machines. Raises ValueError if
    sigma is negative. Source: A. Foi et al., "Practical Poissonian-Gaussian Noise Modeling and
    Fitting for Single-Image Raw-Data", 2008: the part that does not depend on the signal.
    """
    if sigma < 0:
        raise ValueError(f"sigma {sigma} is negative")
    if not sigma:
        return pixels
    table = np.rint(np.round(_quantiles() * sigma, _DIGITS)).astype(np.int16)
    noise = table[rng.integers(0, _STEPS, pixels.shape, np.uint16)]
    noise += pixels
    noisy: Pixels = np.clip(noise, 0, 255, out=noise).astype(np.uint8)
    return noisy


@cache
def _quantiles() -> npt.NDArray[np.float64]:
    normal = NormalDist()
    found = np.array([normal.inv_cdf((step + 0.5) / _STEPS) for step in range(_STEPS)])
    scaled: npt.NDArray[np.float64] = found / found.std()
    return scaled
