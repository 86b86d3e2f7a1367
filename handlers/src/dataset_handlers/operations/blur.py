"""Blur."""

from __future__ import annotations

import math

import cv2
import numpy as np

from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.resize import resize

_LARGEST_DIRECT = 4.0
_SIGMA_OF_REDUCED = 2.5
_ROWS_AT_ONCE = 64


def blur(pixels: Pixels, sigma: float, *, spare: bool = False) -> Pixels:
    """Return the picture convolved with a Gaussian of `sigma` pixels; edges are mirrored.

    exp(-d^2 / (2 sigma^2)) at the distance d, up to 3 sigma, the sum of all being 1. Above 4 pixels
    that is done to a reduced picture, which is enlarged again: the time would grow with sigma.
    `spare`: the pixels are not needed any more, and take the result. Raises ValueError if sigma
    is negative. 0 gives the picture as it is. Source: R. Gonzalez and R.
    Woods, "Digital Image Processing", 4th ed. 2018, 3.5; reduced: P. Burt and E. Adelson, "The
    Laplacian Pyramid as a Compact Image Code", 1983.
    """
    if sigma < 0:
        raise ValueError(f"sigma {sigma} is negative")
    if not sigma:
        return pixels
    if sigma <= _LARGEST_DIRECT:
        return _convolved_in_place(pixels, sigma) if spare else _convolved(pixels, sigma, sigma)
    height, width = pixels.shape[:2]
    divisor = max(2, int(sigma / _SIGMA_OF_REDUCED))
    reduced = resize(pixels, (-(-height // divisor), -(-width // divisor)))
    down, right = height / reduced.shape[0], width / reduced.shape[1]
    blurred = _convolved(reduced, _remaining(sigma, down), _remaining(sigma, right))
    enlarged = resize(blurred, (height, width))
    if not spare:
        return enlarged
    np.copyto(pixels, enlarged)  # so that one of the two goes at once
    return pixels


def _remaining(sigma: float, scale: float) -> float:
    """Return what is left to blur, in reduced pixels.

    Areas of `scale` pixels have a variance of scale^2 / 12, what lies between two pixels, linearly,
    twice that.
    """
    return math.sqrt(sigma * sigma - scale * scale / 4) / scale


def _convolved_in_place(pixels: Pixels, sigma: float) -> Pixels:
    """Do the same to some rows after others, each with its neighbours as they were before."""
    height, reach = len(pixels), _reach(sigma)
    above = pixels[:0]
    for top in range(0, height, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, height)
        given = np.concatenate([above, pixels[top : bottom + reach]])
        done = len(above) + bottom - top
        above = given[max(0, done - reach) : done].copy()
        first = top - max(0, top - reach)
        pixels[top:bottom] = _convolved(given, sigma, sigma)[first : first + bottom - top]
    return pixels


def _reach(sigma: float) -> int:
    """Return how far off what still counts lies: OpenCV's choice for 8 bits."""
    return (round(6 * sigma + 1) | 1) // 2


def _convolved(pixels: Pixels, sigma_down: float, sigma_right: float) -> Pixels:
    blurred: Pixels = cv2.GaussianBlur(
        pixels,
        (0, 0),
        sigma_right,
        sigmaY=sigma_down,
        borderType=cv2.BORDER_REFLECT,
        # In fixed point: the same on every processor.
        hint=cv2.ALGO_HINT_ACCURATE,
    )
    return blurred
