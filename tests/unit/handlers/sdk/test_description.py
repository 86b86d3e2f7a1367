"""What is said of options comes from the model itself: type, limits, choices, docstring."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from pydantic.functional_validators import BeforeValidator

from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.duts import DutsHandler
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.sdk.description import describe_options
from dataset_handlers.sdk.option_types import Size, WholeNumber, option


class Inner(BaseModel):
    depth: int = 1


class Unheard:
    """A type of which JSON Schema knows nothing."""


class Options(ImageOptions):
    whole: WholeNumber = option(3, "1 or 3", ge=1, le=3)
    """How many,
    and why.
    """
    share: float = Field(0.5, gt=0, lt=1)
    plain: bool = False
    word: Literal["one", "two"] | None = None
    """A word."""
    words: tuple[Literal["a", "b"], ...] = ("a",)
    size: Size | None = None
    texts: list[str] = Field(default_factory=lambda: ["x"])
    table: dict[str, int] = Field(default_factory=dict)
    inner: Inner = Inner()
    strange: Annotated[Any, BeforeValidator(lambda value: value)] = None
    needed: int = Field(examples=[7])
    # No docstring of its own: the one that it is redefined from holds.
    jpeg_quality: WholeNumber = option(90, "an integer from 1 to 100", ge=1, le=100)


class Foreign(BaseModel, arbitrary_types_allowed=True):
    thing: Unheard = Unheard()


def described(name: str) -> dict[str, Any]:
    (found,) = [each for each in describe_options(Options) if each["name"] == name]
    return found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("whole", "integer"),
        ("share", "number"),
        ("plain", "true or false"),
        ("word", '"one" or "two" or null'),
        ("words", 'list of "a" or "b"'),
        ("size", "[integer, integer] or null"),
        ("texts", "list of text"),
        ("table", "object"),
        ("inner", "object"),
        ("strange", "anything"),
        ("max_items", "integer or null"),
    ],
)
def test_types_in_words(name: str, words: str) -> None:
    assert described(name)["type"] == words


def test_limits_and_what_is_allowed() -> None:
    assert described("whole")["limits"] == {"minimum": 1, "maximum": 3}
    assert described("whole")["allowed"] == "1 or 3"
    assert described("share")["limits"] == {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
    assert described("share")["allowed"] == "number more than 0 less than 1", "nobody said it"
    assert described("max_items")["limits"] == {"minimum": 1}
    assert "limits" not in described("plain")


def test_choices() -> None:
    assert described("word")["choices"] == ["one", "two"]
    assert described("words")["choices"] == ["a", "b"]
    assert "choices" not in described("whole")


def test_defaults_are_json() -> None:
    assert described("size")["default"] is None
    assert described("words")["default"] == ["a"]
    assert described("texts")["default"] == ["x"]
    assert described("inner")["default"] == {"depth": 1}
    assert described("needed")["required"] is True and "default" not in described("needed")
    json.dumps(describe_options(Options), allow_nan=False)


def test_meanings_are_the_docstrings_of_fields() -> None:
    assert described("whole")["meaning"] == "How many,\nand why."
    assert described("word")["meaning"] == "A word."
    assert described("plain")["meaning"] == "", "the comment below is none of its own"
    assert described("jpeg_quality")["meaning"] == (
        "Quality of the image in the record on libjpeg's scale, where it is a JPEG."
    )
    assert described("jpeg_quality")["default"] == 90


def test_examples() -> None:
    assert described("needed")["example"] == 7
    assert described("max_items")["example"] == 100
    assert "example" not in described("plain")


def test_a_type_that_json_does_not_have() -> None:
    (told,) = describe_options(Foreign)
    assert told["type"] == told["allowed"] == "anything"
    assert "Unheard" in told["default"]


def test_a_model_without_a_source() -> None:
    made = type("Made", (ImageOptions,), {"__module__": "nowhere"})
    names = [each["name"] for each in describe_options(made)]
    assert names == list(ImageOptions.model_fields)


@pytest.mark.parametrize("handler", [ClassificationHandler, DutsHandler])
def test_everything_is_said_of_every_option(
    handler: type[ClassificationHandler | DutsHandler],
) -> None:
    told = handler.describe_options()
    assert {each["name"]: each["default"] for each in told} == handler.config_options()
    for each in told:
        assert each["meaning"] and each["allowed"] and each["type"] != "anything", each
    example = {each["name"]: each["example"] for each in told if "example" in each}
    assert example.keys() == {"flip_probability", "max_items", "validation_share"}
    handler(example, "/nothing")
