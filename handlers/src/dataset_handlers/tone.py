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
    colored = randomly_colored(pixels, options, rng, spare=spare)
    return randomly_degraded(colored, options, rng, spare=spare or colored is not pixels)


def randomly_colored(
    pixels: Pixels, options: ImageOptions, rng: np.random.Generator, *, spare: bool = False
) -> Pixels:
    """Return `randomly_toned`'s first half: what changes the colour of each pixel by itself."""
    given = pixels  # one copy of it is enough for all
    if options.exposure:
        stops = rng.uniform(-options.exposure, options.exposure)
        pixels = expose(pixels, stops, spare=spare)
    if options.brightness:
        factor = 1 + rng.uniform(-options.brightness, options.brightness)
        pixels = brighten(pixels, factor, spare=spare or pixels is not given)
    if options.contrast:
        factor = 1 + rng.uniform(-options.contrast, options.contrast)
        pixels = change_contrast(pixels, factor, spare=spare or pixels is not given)
    if options.saturation:
        factor = 1 + rng.uniform(-options.saturation, options.saturation)
        pixels = saturate(pixels, factor, spare=spare or pixels is not given)
    if options.hue_degrees:
        degrees = rng.uniform(-options.hue_degrees, options.hue_degrees)
        pixels = turn_hue(pixels, degrees, spare=spare or pixels is not given)
    if options.gamma:
        gamma = (1 + options.gamma) ** rng.uniform(-1, 1)
        pixels = change_gamma(pixels, gamma, spare=spare or pixels is not given)
    return pixels


def randomly_degraded(
    pixels: Pixels, options: ImageOptions, rng: np.random.Generator, *, spare: bool = False
) -> Pixels:
    """Return `randomly_toned`'s second half: what a picture loses on its way to a file."""
    given = pixels
    if options.blur_sigma:
        pixels = blur(pixels, rng.uniform(0, options.blur_sigma), spare=spare)
    if options.noise_sigma:
        spare_now = spare or pixels is not given
        pixels = add_noise(pixels, options.noise_sigma, rng, spare=spare_now)
    if options.recompress_quality:
        lowest, highest = options.recompress_quality
        quality = int(rng.integers(lowest, highest + 1))
        pixels = recompress(pixels, quality, spare=spare or pixels is not given)
    return pixels
