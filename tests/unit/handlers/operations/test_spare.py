"""What is not needed any more takes the result: colours are changed in one copy of a picture."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.blur import blur
from dataset_handlers.operations.brightness import brighten
from dataset_handlers.operations.contrast import change_contrast
from dataset_handlers.operations.exposure import expose
from dataset_handlers.operations.gamma import change_gamma
from dataset_handlers.operations.hue import turn_hue
from dataset_handlers.operations.noise import add_noise
from dataset_handlers.operations.recompress import recompress
from dataset_handlers.operations.saturation import saturate
from dataset_handlers.tone import randomly_toned


def noisy(pixels, **options):
    return add_noise(pixels, 5.0, np.random.default_rng(3), **options)


OPERATIONS = {
    "blur": lambda pixels, **options: blur(pixels, 1.7, **options),
    "brightness": lambda pixels, **options: brighten(pixels, 1.3, **options),
    "contrast": lambda pixels, **options: change_contrast(pixels, 1.4, **options),
    "exposure": lambda pixels, **options: expose(pixels, 0.5, **options),
    "gamma": lambda pixels, **options: change_gamma(pixels, 0.8, **options),
    "hue": lambda pixels, **options: turn_hue(pixels, 40, **options),
    "noise": noisy,
    "recompress": lambda pixels, **options: recompress(pixels, 40, **options),
    "saturation": lambda pixels, **options: saturate(pixels, 1.6, **options),
}


def picture(height=301, width=203):
    smooth = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return ((smooth + np.random.default_rng(0).normal(0, 20, smooth.shape)) % 256).astype(np.uint8)


def part(pixels):
    return pixels[20:-13, 5:-7]


@pytest.mark.parametrize("cut", [lambda pixels: pixels, part], ids=["whole", "a part"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_result_is_the_same_and_takes_the_place(name, cut):
    operation, whole = OPERATIONS[name], picture()
    pixels = cut(whole)
    kept = whole.copy()
    expected = operation(pixels)
    assert np.array_equal(whole, kept), "what is not spare is left alone"
    result = operation(pixels, spare=True)
    assert np.array_equal(result, expected)
    assert np.shares_memory(result, whole)
    outside = whole.copy()
    cut(outside)[:] = cut(kept)
    assert np.array_equal(outside, kept), "nothing beside it is touched"


@given(
    height=st.integers(1, 300),
    sigma=st.floats(0.01, 4),
    seed=st.integers(0, 9),
)
def test_a_blur_of_some_rows_after_others_gives_the_same(height, sigma, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, 9, 3), np.uint8)
    expected = blur(pixels, sigma)
    assert np.array_equal(blur(pixels, sigma, spare=True), expected)


def test_a_wide_blur_gives_the_same():
    expected, spare = blur(picture(), 9.0), picture()
    assert blur(spare, 9.0, spare=True) is spare
    assert np.array_equal(spare, expected)


@pytest.mark.parametrize(("spare", "copies"), [(True, 0), (False, 1)])
def test_all_changes_of_colours_take_one_copy(spare, copies):
    options = ImageOptions(
        exposure=1,
        brightness=0.5,
        contrast=0.5,
        saturation=0.5,
        hue_degrees=30,
        gamma=0.5,
        blur_sigma=3,
        noise_sigma=3,
        recompress_quality=(50, 90),
    )
    pixels = picture(2000, 1500)
    rng = np.random.default_rng(1)
    tracemalloc.start()
    randomly_toned(pixels, options, rng, spare=spare)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Beside it, for a moment, what was decoded, of a JPEG file that is there still.
    assert 0.9 < peak / pixels.nbytes - copies < 1.75
