"""The content key: another one for whatever decides the bytes, the same for all else."""

from __future__ import annotations

import re

import pytest

from datamill_builder.recipe import Recipe
from tests.unit.builder.test_packing import recipe


def changed(**values: object) -> Recipe:
    return recipe(seed=1).model_copy(update=values)


def test_a_content_key_is_a_sha256() -> None:
    assert re.fullmatch("[0-9a-f]{64}", recipe().content_key)
    assert recipe().content_key == recipe().content_key


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"seed": 2}},
        {"dataset_name": "other"},
        {"package": "other-handlers"},
        {"package_version": "1.0.1"},
        {"entry_point": "toy:Other"},
        {"wheel_sha256": "0" * 64},
        {"lock": "# cpython-311 linux x86_64\nnumpy==2.4.7\n"},
        {"raw_version": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_decides_the_bytes_decides_the_key(change: dict[str, object]) -> None:
    assert changed(**change).content_key != changed().content_key


@pytest.mark.parametrize(
    "change", [{"origin": "elsewhere"}, {"raw": "elsewhere"}, {"wheel": "other name.whl"}]
)
def test_where_it_comes_from_does_not(change: dict[str, object]) -> None:
    assert changed(**change).content_key == changed().content_key


def test_numbers_that_are_equal_in_json_are_one_config() -> None:
    assert (
        changed(config={"a": 1.0, "b": 2}).content_key
        == changed(config={"b": 2, "a": 1}).content_key
    )


def test_a_recipe_survives_the_catalog() -> None:
    kept = Recipe.model_validate_json(recipe(seed=1).model_dump_json())
    assert kept == recipe(seed=1)
    assert kept.environment.packages == {"numpy": "2.4.6", "pillow": "13.0.0"}
