"""All that changes colours, drawn at random as the options say; pixels stay where they are."""

from __future__ import annotations

import numpy as np

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels
from dataset_handlers.operations.blur import blur
from dataset_handlers.operations.brightness import brighten
from dataset_handlers.operations.contrast import change_contrast
from dataset_handlers.operations.exposure import expose
from dataset_handlers.operations.gamma import change_gamma
from dataset_handlers.operations.hue import turn_hue
from dataset_handlers.operations.noise import add_noise
from dataset_handlers.operations.recompress import recompress
from dataset_handlers.operations.saturation import saturate


def randomly_toned(
    pixels: Pixels, options: ImageOptions, rng: np.random.Generator, *, spare: bool = False
) -> Pixels:
    """Return a picture with each change that the options ask for, in the order of the options.

    An option that is 0 draws no random number, so that it changes nothing of the others.
    `spare`: the pixels are not needed any more, and may be changed.
    """
    return randomly_degraded(randomly_colored(pixels, options, rng, spare=spare), options, rng)


def randomly_colored(
    pixels: Pixels, options: ImageOptions, rng: np.random.Generator, *, spare: bool = False
) -> Pixels:
    """Return `randomly_toned`'s first half: what changes the colour of each pixel by itself."""
    given = pixels
    if options.exposure:
        pixels = expose(pixels, rng.uniform(-options.exposure, options.exposure))
    if options.brightness:
        factor = 1 + rng.uniform(-options.brightness, options.brightness)
        pixels = brighten(pixels, factor, spare=spare or pixels is not given)
    if options.contrast:
        pixels = change_contrast(pixels, 1 + rng.uniform(-options.contrast, options.contrast))
    if options.saturation:
        pixels = saturate(pixels, 1 + rng.uniform(-options.saturation, options.saturation))
    if options.hue_degrees:
        pixels = turn_hue(pixels, rng.uniform(-options.hue_degrees, options.hue_degrees))
    if options.gamma:
        pixels = change_gamma(pixels, (1 + options.gamma) ** rng.uniform(-1, 1))
    return pixels


def randomly_degraded(pixels: Pixels, options: ImageOptions, rng: np.random.Generator) -> Pixels:
    """Return `randomly_toned`'s second half: what a picture loses on its way to a file."""
    if options.blur_sigma:
        pixels = blur(pixels, rng.uniform(0, options.blur_sigma))
    if options.noise_sigma:
        pixels = add_noise(pixels, options.noise_sigma, rng)
    if options.recompress_quality:
        lowest, highest = options.recompress_quality
        pixels = recompress(pixels, int(rng.integers(lowest, highest + 1)))
    return pixels
