"""A config that is wrong gets one line that names the option, the value and what is allowed."""

import json

import pytest
from pydantic import field_validator, model_validator

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.sdk.errors import ConfigError
from dataset_handlers.sdk.options import BaseOptions, parse_options


def parse(config: object) -> ImageOptions:
    return parse_options(ImageOptions, config, "duts 1.0.0")


def refusal(config: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(config)
    assert caught.value.datamill_reason == "invalid_config"
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_published_example():
    config = {
        "input_attributes": ["image"],
        "batch_size": 100,
        "image_size": [1024, 1024],
        "variations_per_sample": 1,
        "crop_size": [800, 800],
        "random_crop_centered": True,
    }
    resolved = parse(config).model_dump(mode="json")
    assert {name: resolved[name] for name in config} == config


def test_defaults():
    assert parse({}).model_dump(mode="json") == {
        "input_attributes": ["image"],
        "variations_per_sample": 1,
        "validation_share": 0.0,
        "seed": 0,
        "batch_size": 32,
        "max_items": None,
        "on_bad_item": "skip",
        "max_bad_share": 0.01,
        "image_size": None,
        "resize_mode": "stretch",
        "pad_value": 0,
        "crop_size": None,
        "random_crop_centered": False,
        "random_crop": False,
        "rotate_degrees": 0.0,
        "flip_probability": 0.0,
        "exposure": 0.0,
        "brightness": 0.0,
        "contrast": 0.0,
        "saturation": 0.0,
        "hue_degrees": 0.0,
        "gamma": 0.0,
        "blur_sigma": 0.0,
        "noise_sigma": 0.0,
        "recompress_quality": None,
        "standardize": "no",
        "color_order": "rgb",
        "image_encoding": "jpeg",
        "jpeg_quality": 95,
        "reduced_decoding": True,
        "max_pixels": 200_000_000,
    }


def test_equal_json_numbers_resolve_to_equal_text():
    whole = parse({"image_size": [1024, 768], "seed": 3, "rotate_degrees": 15})
    floats = parse({"image_size": [1024.0, 768.0], "seed": 3.0, "rotate_degrees": 15.0})
    assert json.dumps(whole.model_dump(mode="json")) == json.dumps(floats.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", [1, 16384]),
        ("image_size", None),
        ("variations_per_sample", 1000),
        ("validation_share", 0.999),
        ("seed", -(2**63)),
        ("max_items", 1),
        ("rotate_degrees", 180),
        ("flip_probability", 1),
        ("brightness", 1),
        ("jpeg_quality", 100),
        ("on_bad_item", "fail"),
        ("max_bad_share", 1),
    ],
)
def test_the_limits_are_allowed(name, value):
    assert parse({name: value}).model_dump(mode="json")[name] == value


SIZE = "null or two integers from 1 to 16384, [height, width]"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("image_size", [0, 10], SIZE),
        ("image_size", [10, 16385], SIZE),
        ("image_size", [10], SIZE),
        ("image_size", [10, 10, 3], SIZE),
        ("image_size", [10.5, 10], SIZE),
        ("image_size", [True, 10], SIZE),
        ("image_size", 224, SIZE),
        ("image_size", "224", SIZE),
        ("image_size", {"height": 3}, SIZE),
        ("crop_size", ["8", "8"], SIZE),
        ("variations_per_sample", 0, "an integer from 1 to 1000"),
        ("variations_per_sample", 1001, "an integer from 1 to 1000"),
        ("variations_per_sample", True, "an integer from 1 to 1000"),
        ("variations_per_sample", None, "an integer from 1 to 1000"),
        ("validation_share", 1, "a number from 0 to less than 1"),
        ("validation_share", -0.1, "a number from 0 to less than 1"),
        ("validation_share", "0.1", "a number from 0 to less than 1"),
        ("seed", 2**63, "an integer from -2^63 to 2^63 - 1"),
        ("seed", "0", "an integer from -2^63 to 2^63 - 1"),
        ("rotate_degrees", 181, "a number from 0 to 180"),
        ("rotate_degrees", False, "a number from 0 to 180"),
        ("jpeg_quality", 0, "an integer from 1 to 100"),
        ("max_items", 0, "null or an integer from 1"),
        ("random_crop_centered", 1, "true or false"),
        ("random_crop_centered", "true", "true or false"),
        ("on_bad_item", "ignore", 'one of "skip", "fail"'),
        ("input_attributes", "image", "a list of features of the record, each once"),
        ("input_attributes", ["image", "image"], "a list of features of the record, each once"),
        ("input_attributes", [], "a list of features of the record, each once"),
    ],
)
def test_what_is_not_allowed(name, value, allowed):
    assert refusal({name: value}) == f"{name}: {json.dumps(value)} is not allowed: {allowed}"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("name", ["seed", "brightness"])
def test_numbers_that_are_none(name, value):
    assert refusal({name: value}).startswith(f"{name}: ")


def test_long_values_are_cut():
    assert len(refusal({"image_size": "x" * 10_000})) < 200


def test_an_unknown_option_is_told_from_its_neighbours():
    message = refusal({"image_sze": [10, 10]})
    assert message.startswith(
        "image_sze is not an option of duts 1.0.0; did you mean image_size? It knows: "
    )
    assert "validation_share" in message


def test_an_unknown_option_without_neighbours():
    assert refusal({"zzz": 1}).startswith("zzz is not an option of duts 1.0.0. It knows: ")


def test_a_crop_has_to_fit():
    assert refusal({"image_size": [100, 50], "crop_size": [80, 51]}) == (
        "crop_size: [80, 51] is not allowed: it must fit into image_size, which is [100, 50]"
    )
    assert parse({"image_size": [100, 50], "crop_size": [100, 50]}).record_size == (100, 50)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({}, (None, None)),
        ({"image_size": [4, 5]}, (4, 5)),
        ({"crop_size": [2, 3]}, (2, 3)),
        ({"image_size": [4, 5], "crop_size": [2, 3]}, (2, 3)),
    ],
)
def test_the_size_of_records(config, size):
    assert parse(config).record_size == size


def test_a_config_that_is_no_object():
    assert refusal([1]) == "the config must be a JSON object, not [1]"


class PlainOptions(BaseOptions):
    """As somebody writes them who knows pydantic, and not `option`."""

    steps: int = 3
    needed: int
    low: int = 0
    high: int = 10

    @field_validator("high")
    @classmethod
    def _above(cls, high, info):
        if high <= info.data.get("low", 0):
            raise ValueError("high has to be above low")
        return high

    @model_validator(mode="after")
    def _not_all(self):
        if self.steps == self.low:
            raise ValueError("steps and low can't be the same")
        return self


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"needed": 1, "steps": "x"}, 'steps: "x" is not allowed: Input should be a valid integer'),
        ({"needed": 1, "low": 20}, "high: 10 is not allowed: high has to be above low"),
        ({"needed": 1, "low": 3}, "steps and low can't be the same"),
        ({}, "needed has no default, and has to be given"),
    ],
)
def test_plain_pydantic_is_told_in_a_line_too(config, words):
    with pytest.raises(ConfigError) as caught:
        parse_options(PlainOptions, config, "plain 1.0.0")
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"image_size": [64, 64], "crop_size": [65, 64]}, "crop_size: [65, 64] is not allowed"),
        ({"random_crop": True, "random_crop_centered": True}, "random_crop: true is not allowed"),
        ({"standardize": "applied"}, 'standardize: "applied" is not allowed: its records need'),
        ({"recompress_quality": [90, 50]}, "recompress_quality: [90, 50] is not allowed"),
    ],
)
def test_impossible_combinations_name_the_option(config, words):
    assert refusal(config).startswith(words)
