"""Options that all handlers of images share: what is refused, and what they do in records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.duts import DutsHandler
from dataset_handlers.sdk import ConfigError, Scalar, Tensor
from dataset_handlers.sdk.record_handler import RecordHandler
from tests.unit.handlers.pictures import draw_pair, gradient, save
from tests.unit.handlers.reading import pixels_of, read_records
from tests.unit.handlers.test_tone import ALL as TONES

HANDLERS = [ClassificationHandler, DutsHandler]


def build(handler: type[RecordHandler], folder: Path, config: dict[str, Any]) -> list[dict]:
    made = handler(config, str(folder))
    path = folder.parent / "shard"
    said = made.write_shard(list(made.plan_items("key")), str(path), "key")
    assert said["skipped"] == []
    return read_records(path)


def pairs(folder: Path, config: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures and masks of `duts`."""
    records = build(DutsHandler, folder, config)
    return [(pixels_of(r["image"][0]), pixels_of(r["mask"][0])) for r in records]


def is_on_object(picture: np.ndarray, mask: np.ndarray) -> bool:
    """Whether what is red lies under the mask, but for edges that JPEG and resizing blur."""
    red = picture[..., 0].astype(int) > picture[..., 2].astype(int) + 60
    return float(np.mean(red != (mask > 0))) < 0.02


def one_class(folder: Path, picture: np.ndarray) -> Path:
    save(folder / "raw" / "cats" / "a.png", picture)
    return folder / "raw"


# What is refused.


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"image_size": [100, 100], "crop_size": [101, 100]},
            "crop_size: [101, 100] is not allowed: it must fit into image_size, which is "
            "[100, 100]",
        ),
        (
            {"image_size": [100, 100], "crop_size": [1, 101]},
            "crop_size: [1, 101] is not allowed: it must fit into image_size, which is [100, 100]",
        ),
        (
            {"crop_size": [9, 9], "random_crop": True, "random_crop_centered": True},
            "random_crop: true is not allowed: random_crop_centered already says where the window "
            "is",
        ),
        (
            {"image_size": None, "resize_mode": "fit"},
            'resize_mode: "fit" is not allowed: image_size is null, so that nothing is resized',
        ),
        (
            {"image_size": None, "standardize": "applied"},
            'standardize: "applied" is not allowed: its records need one size: set image_size or '
            "crop_size",
        ),
        (
            {"recompress_quality": [90, 60]},
            "recompress_quality: [90, 60] is not allowed: null or two integers from 1 to 100, "
            "[lowest, highest]",
        ),
    ],
)
def test_impossible_combinations_name_the_option(handler, config, message):
    with pytest.raises(ConfigError) as caught:
        handler(config, "")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resize_mode", "crop"),
        ("resize_mode", None),
        ("pad_value", -1),
        ("pad_value", 256),
        ("pad_value", 0.5),
        ("random_crop", 1),
        ("exposure", -1),
        ("exposure", 8.1),
        ("contrast", 1.01),
        ("saturation", -0.1),
        ("hue_degrees", 181),
        ("gamma", 4.5),
        ("blur_sigma", 51),
        ("noise_sigma", 129),
        ("recompress_quality", [0, 50]),
        ("recompress_quality", [50, 101]),
        ("recompress_quality", [50]),
        ("recompress_quality", 50),
        ("recompress_quality", [50.5, 60]),
        ("standardize", True),
        ("color_order", "grb"),
    ],
)
def test_values_out_of_range_name_the_option(name, value):
    with pytest.raises(ConfigError, match=f"^{name}: .* is not allowed: "):
        DutsHandler({name: value}, "")


@pytest.mark.parametrize(("name", "value"), [("saturation", 0.5), ("hue_degrees", 9)])
def test_grey_has_no_colours_to_change(name, value):
    with pytest.raises(ConfigError) as caught:
        ClassificationHandler({"channels": 1, name: value}, "")
    assert str(caught.value) == (f"channels: 1 is not allowed: {name} needs colours to change")


@pytest.mark.parametrize(
    "config",
    [
        {"image_size": [100, 100], "crop_size": [100, 100], "random_crop": True},
        {"image_size": None, "crop_size": [8, 8], "standardize": "applied"},
        {"image_size": None, "resize_mode": "stretch"},
        {"recompress_quality": [70, 70]},
        {"recompress_quality": [1.0, 100.0]},
        {"standardize": "metadata", "image_size": None},
    ],
)
def test_what_is_possible_is_taken(config):
    for handler in HANDLERS:
        assert handler(config, "").resolved_config().items() >= config.items()


@pytest.mark.parametrize("handler", HANDLERS)
def test_options_and_defaults_survive_json(handler):
    options = handler.config_options()
    again = json.loads(json.dumps(options, allow_nan=False))
    assert again == options
    assert handler(again, "").resolved_config() == options == handler({}, "").resolved_config()
    config = {**TONES, "crop_size": [64, 64], "random_crop": True, "resize_mode": "fill"}
    resolved = handler(config, "").resolved_config()
    assert json.loads(json.dumps(resolved)) == resolved
    assert handler(resolved, "").resolved_config() == resolved
    assert {name: resolved[name] for name in config} == config


# Sizes.


def test_fit_shows_all_with_bars_of_pad_value(tmp_path):
    folder = one_class(tmp_path, np.full((10, 20, 3), (200, 60, 90), np.uint8))
    config = {"image_size": [64, 64], "resize_mode": "fit", "pad_value": 77, "jpeg_quality": 100}
    (record,) = build(ClassificationHandler, folder, config)
    picture = pixels_of(record["image"][0]).astype(int)
    # JPEG mixes the colours of 16 x 16 pixels, and a little of the next one's.
    assert np.abs(picture[:15] - 77).max() <= 2 and np.abs(picture[49:] - 77).max() <= 2
    assert np.abs(picture[17:47] - (200, 60, 90)).max() <= 3


def test_fit_of_grey(tmp_path):
    folder = one_class(tmp_path, np.full((10, 20), 200, np.uint8))
    config = {"image_size": [32, 32], "resize_mode": "fit", "pad_value": 255, "channels": 1}
    (record,) = build(ClassificationHandler, folder, config)
    picture = pixels_of(record["image"][0])
    assert (picture[:8] == 255).all() and (picture[8:24] == 200).all()


def test_fill_cuts_two_sides_off(tmp_path):
    picture = np.zeros((16, 48, 3), np.uint8)
    picture[:, 16:32] = 255
    config = {"image_size": [16, 16], "resize_mode": "fill"}
    (record,) = build(ClassificationHandler, one_class(tmp_path, picture), config)
    assert (pixels_of(record["image"][0]) == 255).all()


def test_stretch_shows_all_without_bars(tmp_path):
    config = {"image_size": [40, 40], "jpeg_quality": 100}
    (record,) = build(ClassificationHandler, one_class(tmp_path, gradient(80, 20)), config)
    assert np.abs(pixels_of(record["image"][0]).astype(int) - gradient(40, 40)).max() < 10


@pytest.mark.parametrize("height_and_width", [(60, 90), (90, 60), (960, 1920), (1920, 960)])
@pytest.mark.parametrize("mode", ["stretch", "fit", "fill"])
@pytest.mark.parametrize("reduced", [True, False])
def test_the_object_stays_under_its_mask(tmp_path, height_and_width, mode, reduced):
    drawn = draw_pair(tmp_path / "raw", "one", *height_and_width)
    config = {
        "image_size": [120, 120],
        "resize_mode": mode,
        "pad_value": 9,
        "reduced_decoding": reduced,
    }
    ((picture, mask),) = pairs(tmp_path / "raw", config)
    assert picture.shape == (120, 120, 3) and mask.shape == (120, 120)
    assert set(np.unique(mask)) == {0, 255}
    assert is_on_object(picture, mask)
    # The share of the object: of the whole picture, of that and bars, of the middle.
    ratio = min(height_and_width) / max(height_and_width)
    height, width = height_and_width
    middle = drawn
    if mode == "fill":
        room = abs(height - width) // 2
        middle = drawn[room : height - room] if height > width else drawn[:, room : width - room]
    share = np.mean(middle > 0) * (ratio if mode == "fit" else 1)
    assert np.mean(mask > 0) == pytest.approx(share, abs=0.01)
    if mode == "fit":
        bar = round(120 * (1 - ratio) / 2)
        turn = (lambda p: p) if width > height else (lambda p: p.swapaxes(0, 1))
        for rows in (slice(0, bar), slice(120 - bar, 120)):
            assert not turn(mask)[rows].any(), "bars of a mask are 0, whatever pad_value is"
        for rows in (slice(0, bar - 16), slice(136 - bar, 120)):  # JPEG mixes 16 pixels at most
            assert np.abs(turn(picture)[rows].astype(int) - 9).max() <= 1


@pytest.mark.parametrize("mode", ["stretch", "fit", "fill"])
def test_reduced_decoding_shows_the_same(tmp_path, mode):
    draw_pair(tmp_path / "raw", "one", 960, 1920)
    shown = [
        pairs(
            tmp_path / "raw",
            {"image_size": [120, 120], "resize_mode": mode, "reduced_decoding": reduced},
        )[0]
        for reduced in (True, False)
    ]
    assert np.array_equal(shown[0][1], shown[1][1])
    assert np.abs(shown[0][0].astype(int) - shown[1][0]).max() < 16


def test_random_crop_is_a_window_anywhere(tmp_path):
    drawn = draw_pair(tmp_path / "raw", "one", 30, 40)
    config = {
        "image_size": None,
        "crop_size": [20, 24],
        "random_crop": True,
        "variations_per_sample": 200,
    }
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (20, 24))
    masks = [mask for _, mask in pairs(tmp_path / "raw", config)]
    tops = [
        {top for top in range(11) if (windows[top] == mask).all(axis=(1, 2)).any()}
        for mask in masks
    ]
    assert all(tops), "each is a window of the mask"
    assert set.union(*tops) == set(range(11))
    assert len({mask.tobytes() for mask in masks}) > 60
    # Two of eleven places; near the centre most often, it were one of fifty.
    assert sum(bool(top & {0, 10}) for top in tops) > 20


# Colours.


def test_tones_leave_masks_and_geometry_alone(tmp_path):
    draw_pair(tmp_path / "raw", "one", 90, 120)
    geometry = {
        "image_size": [80, 100],
        "crop_size": [60, 60],
        "random_crop": True,
        "rotate_degrees": 30,
        "flip_probability": 0.5,
        "variations_per_sample": 8,
    }
    plain, toned = (pairs(tmp_path / "raw", geometry | tones) for tones in ({}, TONES))
    for (picture, mask), (other, same) in zip(plain, toned, strict=True):
        assert np.array_equal(mask, same)
        assert not np.array_equal(picture, other)
        assert is_on_object(picture, mask)


@pytest.mark.parametrize("name", TONES)
@pytest.mark.parametrize("channels", [3, 1])
def test_each_tone_makes_each_variation_different(tmp_path, name, channels):
    if channels == 1 and name in ("saturation", "hue_degrees"):
        return  # refused
    config = {
        "image_size": [40, 60],
        "variations_per_sample": 4,
        "channels": channels,
        name: TONES[name],
    }
    folder = one_class(tmp_path, gradient(40, 60))
    records = build(ClassificationHandler, folder, config)
    # Of 31 qualities two variations may draw one.
    least = 3 if name == "recompress_quality" else 4
    assert len({record["image"][0] for record in records}) >= least
    assert build(ClassificationHandler, folder, config) == records, "by key and variation alone"


@pytest.mark.parametrize(("order", "expected"), [("rgb", (230, 90, 10)), ("bgr", (10, 90, 230))])
def test_the_order_of_colours(tmp_path, order, expected):
    folder = one_class(tmp_path, np.full((16, 16, 3), (230, 90, 10), np.uint8))
    config = {"image_size": [16, 16], "color_order": order, "jpeg_quality": 100}
    (record,) = build(ClassificationHandler, folder, config)
    assert np.abs(pixels_of(record["image"][0]).astype(int) - expected).max() <= 2


# Standardisation.


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_applied_standardisation_is_the_picture_in_float32(tmp_path, channels, order):
    picture = gradient(12, 20) if channels == 3 else gradient(12, 20)[..., 0]
    config = {
        "image_size": [12, 20],
        "channels": channels,
        "standardize": "applied",
        "color_order": order,
    }
    folder = one_class(tmp_path, picture)
    (record,) = build(ClassificationHandler, folder, config)
    values = picture.astype(float)[..., ::-1] if channels == 3 and order == "bgr" else picture
    expected = (values - np.mean(values)) / np.std(values)
    found = np.reshape(record["image"], (12, 20, channels))
    assert np.allclose(found, expected.reshape(found.shape), atol=1e-5)
    features = ClassificationHandler(config, str(folder)).features()
    assert features["image"] == Tensor((12, 20, channels), "float32")


def test_standardisation_as_metadata(tmp_path):
    config = {"image_size": [12, 20], "standardize": "metadata"}
    folder = one_class(tmp_path, gradient(12, 20))
    (record,) = build(ClassificationHandler, folder, config)
    assert record["image_mean"] == [pytest.approx(gradient(12, 20).mean(), abs=1e-3)]
    assert record["image_deviation"] == [pytest.approx(gradient(12, 20).std(), abs=1e-3)]
    assert np.abs(pixels_of(record["image"][0]).astype(int) - gradient(12, 20)).max() < 20
    features = ClassificationHandler(config, str(folder)).features()
    assert features["image_mean"] == features["image_deviation"] == Scalar(dtype="float32")


def test_standardisation_comes_after_crop_and_tones(tmp_path):
    draw_pair(tmp_path / "raw", "one")
    config = {"crop_size": [40, 50], "brightness": 0.4, "contrast": 0.5, "standardize": "applied"}
    (record,) = build(DutsHandler, tmp_path / "raw", config)
    values = np.reshape(record["image"], (40, 50, 3))
    assert abs(values.mean()) < 1e-5 and values.std() == pytest.approx(1, abs=1e-5)
    assert DutsHandler(config, "").features()["image"] == Tensor((40, 50, 3), "float32")


def test_nothing_of_standardisation_without_it(tmp_path):
    (record,) = build(ClassificationHandler, one_class(tmp_path, gradient(12, 20)), {})
    assert set(record) == {"image", "label", "one_hot"}
