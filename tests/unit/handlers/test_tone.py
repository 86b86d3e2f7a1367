"""What is drawn for each option, and in which order they are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dataset_handlers import tone
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
from tests.unit.handlers.pictures import gradient

PICTURE = gradient(33, 47)[..., ::-1].copy()
ALL: dict[str, Any] = {
    "exposure": 0.5,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue_degrees": 20,
    "gamma": 0.3,
    "blur_sigma": 1.5,
    "noise_sigma": 6,
    "recompress_quality": [60, 90],
}


class Chosen(np.random.Generator):
    """Gives a certain place of each range that it is asked for, and keeps the ranges."""

    def __init__(self, place: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.place = place
        self.asked: list[tuple[float, float]] = []

    def uniform(self, low, high):
        self.asked.append((low, high))
        return low + self.place * (high - low)

    def integers(self, low, high=None, *rest):
        if rest:
            return super().integers(low, high, *rest)  # the noise of a picture
        self.asked.append((low, high))
        return low + round(self.place * (high - 1 - low))


@pytest.mark.parametrize(
    ("name", "value", "asked", "lowest", "highest"),
    [
        ("exposure", 2, (-2, 2), lambda p: expose(p, -2), lambda p: expose(p, 2)),
        ("brightness", 1, (-1, 1), lambda p: brighten(p, 0), lambda p: brighten(p, 2)),
        ("contrast", 1, (-1, 1), lambda p: change_contrast(p, 0), lambda p: change_contrast(p, 2)),
        ("saturation", 1, (-1, 1), lambda p: saturate(p, 0), lambda p: saturate(p, 2)),
        ("hue_degrees", 90, (-90, 90), lambda p: turn_hue(p, -90), lambda p: turn_hue(p, 90)),
        ("gamma", 3, (-1, 1), lambda p: change_gamma(p, 1 / 4), lambda p: change_gamma(p, 4)),
        ("blur_sigma", 3, (0, 3), lambda p: p, lambda p: blur(p, 3)),
        (
            "recompress_quality",
            [20, 80],
            (20, 81),
            lambda p: recompress(p, 20),
            lambda p: recompress(p, 80),
        ),
    ],
)
@pytest.mark.parametrize("grey", [False, True])
def test_the_range_of_each_option(name, value, asked, lowest, highest, grey):
    picture = PICTURE[..., 1].copy() if grey else PICTURE
    options = ImageOptions.model_validate({name: value})
    for place, expected in ((0.0, lowest), (1.0, highest)):
        generator = Chosen(place)
        found = tone.randomly_toned(picture, options, generator)
        assert generator.asked == [asked]
        assert np.array_equal(found, expected(picture))


def test_noise_has_the_deviation_of_the_option():
    found = tone.randomly_toned(PICTURE, ImageOptions(noise_sigma=7.5), np.random.default_rng(4))
    assert np.array_equal(found, add_noise(PICTURE, 7.5, np.random.default_rng(4)))


def test_without_options_nothing_changes_and_nothing_is_drawn():
    generator = np.random.default_rng(0)
    assert tone.randomly_toned(PICTURE, ImageOptions(), generator) is PICTURE
    assert generator.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("name", ALL)
def test_an_option_draws_nothing_for_the_others(name):
    without = Chosen(0.3)
    config = {other: ALL[other] for other in ALL if other != name}
    tone.randomly_toned(PICTURE, ImageOptions.model_validate(config), without)
    alone, together = Chosen(0.3), Chosen(0.3)
    tone.randomly_toned(PICTURE, ImageOptions.model_validate({name: ALL[name]}), alone)
    tone.randomly_toned(PICTURE, ImageOptions.model_validate(ALL), together)
    assert sorted(without.asked + alone.asked) == sorted(together.asked)


def test_the_order_of_work_is_that_of_the_options(monkeypatch):
    done = []

    def noted(name: str, operation: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def call(*values: Any, **settings: Any) -> np.ndarray:
            done.append(name)
            return operation(*values, **settings)

        return call

    operations = (
        "expose", "brighten", "change_contrast", "saturate", "turn_hue", "change_gamma", "blur",
        "add_noise", "recompress",
    )  # fmt: skip
    by_option = dict(zip(ALL, operations, strict=True))
    for option, name in by_option.items():
        monkeypatch.setattr(tone, name, noted(option, getattr(tone, name)))
    tone.randomly_toned(PICTURE, ImageOptions.model_validate(ALL), np.random.default_rng(0))
    assert done == [name for name in ImageOptions.model_fields if name in ALL]
    assert len(done) == len(ALL)


@pytest.mark.parametrize("name", [*ALL, None])
def test_pixels_are_changed_in_place_only_if_they_are_spare(name):
    config = {name: ALL[name]} if name else ALL
    options = ImageOptions.model_validate(config)
    kept, spare = PICTURE.copy(), PICTURE.copy()
    found = tone.randomly_toned(kept, options, np.random.default_rng(1))
    assert np.array_equal(kept, PICTURE)
    again = tone.randomly_toned(spare, options, np.random.default_rng(1), spare=True)
    assert np.array_equal(found, again)
