"""What two requests differ in, as people and programs are told."""

from __future__ import annotations

from typing import Any

import pytest

from datamill_builder.catalog.differences import (
    Kind,
    Side,
    compare,
    known_defaults,
    near_text,
    nearest,
)
from datamill_builder.recipe import Recipe
from tests.unit.builder.recipes import recipe

DEFAULTS: dict[str, Any] = {"jpeg_quality": 95, "crop": {"size": [80, 80], "centered": True}}


def resolved(config: dict[str, Any], version: str = "1.0.0", **changed: Any) -> Side:
    made: Recipe = recipe(**(DEFAULTS | config)).model_copy(update=changed)
    return Side("toy", version, config, made.model_dump(), made.content_key, made.content_key)


def asked(config: dict[str, Any], version: str = "1.0.0", name: str = "toy") -> Side:
    return Side(name, version, config)


def texts(one: Side, other: Side, **defaults: Any) -> list[str]:
    return [difference.text for difference in compare(one, other, defaults).differences]


def test_an_option_is_compared_after_its_default_is_filled() -> None:
    found = compare(resolved({}), resolved({"jpeg_quality": 90}))
    assert found.verdict == "different"
    assert [each.text for each in found.differences] == ["jpeg_quality: 95 → 90"]
    assert found.document()["differences"] == [
        {
            "kind": "option",
            "name": "jpeg_quality",
            "before": 95,
            "after": 90,
            "text": "jpeg_quality: 95 → 90",
        }
    ]


def test_a_default_that_is_spelled_out_is_the_same_data() -> None:
    found = compare(resolved({}), resolved({"jpeg_quality": 95}))
    assert (found.verdict, found.differences) == ("same_data", [])
    assert compare(resolved({}), resolved({})).verdict == "same_request"


def test_two_spellings_of_a_version_are_the_same_data() -> None:
    assert compare(resolved({}), resolved({}, "1.0")).verdict == "same_data"


def test_nested_options_are_named_by_their_path_and_lists_are_whole() -> None:
    crop = {"size": [80, 60], "centered": True}
    assert texts(resolved({}), resolved({"crop": crop})) == ["crop.size: [80, 80] → [80, 60]"]
    assert texts(resolved({"crop": {"size": [80, 80]}}), resolved({})) == [
        "crop.centered: (not there) → true"
    ]
    assert texts(resolved({"crop": 3}), resolved({}))[0].startswith("crop: 3 → {")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (True, 1, "x: true → 1"),
        ("a", "", 'x: "a" → ""'),
        ("1", 1, 'x: "1" → 1'),
        (None, 0, "x: null → 0"),
        (1, 1.0, None),
    ],
)
def test_values_are_compared_as_json_has_them(before: Any, after: Any, told: str | None) -> None:
    assert texts(resolved({"x": before}), resolved({"x": after})) == ([told] if told else [])


def test_a_long_value_is_cut_for_people_and_whole_for_programs() -> None:
    (found,) = compare(resolved({"x": "a" * 1000}), resolved({"x": 1})).differences
    assert len(found.text) < 120
    assert found.document()["before"] == "a" * 1000


@pytest.mark.parametrize(
    ("changed", "kind", "told"),
    [
        ({"package_version": "1.1.0", "wheel_sha256": "c" * 64}, "handler", "1.0.0 → 1.1.0"),
        ({"package": "others"}, "handler", "package: toy-handlers → others"),
        ({"wheel_sha256": "c" * 64}, "wheel", "wheel: dddddddddddd → cccccccccccc"),
        ({"raw_version": "f" * 64}, "raw", "raw data: eeeeeeeeeeee → ffffffffffff"),
        (
            {"lock": "# cpython-311 linux x86_64\nnumpy==2.4.5 \\\n    --hash=sha256:00\n"},
            "environment",
            "numpy: 2.4.6 → 2.4.5",
        ),
        (
            {"lock": recipe().lock.replace("311", "312")},
            "environment",
            "interpreter: cpython-311 linux x86_64 → cpython-312 linux x86_64",
        ),
        (
            {"lock": recipe().lock.replace("sha256:00", "sha256:11")},
            "environment",
            "files of its packages",
        ),
    ],
)
def test_what_differs_beside_the_config(changed: dict[str, Any], kind: str, told: str) -> None:
    found = compare(resolved({}), resolved({}, "1.x", **changed)).differences
    assert found[0].kind == kind
    assert told in found[0].text
    assert len(found) == (2 if "lock" in changed and "2.4.5" in changed["lock"] else 1)


def test_nothing_differs_but_the_content_it_is_datamills_doing() -> None:
    one, other = resolved({}), resolved({}, "1.0")
    later = Side("toy", "1.0", {}, other.recipe, "9" * 64)
    assert [each.kind for each in compare(one, later).differences] == [Kind.DATAMILL]


def test_names_differ() -> None:
    found = compare(resolved({}), asked({}, name="slow"))
    assert found.differences[0].text == "dataset_name: toy → slow"


def test_a_request_that_nobody_resolved_is_compared_as_far_as_can_be_told() -> None:
    done = resolved({"jpeg_quality": 90})
    assert texts(done, asked({"jpeg_quality": 90})) == []
    assert compare(done, asked({"jpeg_quality": 90}, "1.0.0")).verdict == "same_request"
    assert texts(done, asked({})) == ["jpeg_quality: 90 → (its default)"]
    assert texts(done, asked({}), jpeg_quality=95) == ["jpeg_quality: 90 → 95"]
    assert compare(done, asked({"jpeg_quality": 90, "crop": DEFAULTS["crop"]})).verdict == (
        "not_known"
    )
    assert texts(asked({"a": 1}), asked({"b": 2})) == [
        "a: 1 → (its default)",
        "b: (its default) → 2",
    ]
    assert texts(done, asked({"jpeg_quality": 90}, "2.0")) == ["handler_version: 1.0.0 → 2.0"]


def test_what_the_handler_makes_of_the_same_words_is_no_difference() -> None:
    done = resolved({"size": 80, "jpeg_quality": 90})
    assert done.recipe is not None
    done.recipe["config"]["size"] = [80, 80]
    assert texts(done, asked({"size": 80, "jpeg_quality": 85})) == ["jpeg_quality: 90 → 85"]


def test_defaults_are_what_options_are_where_nobody_gives_them() -> None:
    sides = [resolved({"jpeg_quality": 90}), asked({"other": 1})]
    assert known_defaults(sides) == {"crop": DEFAULTS["crop"]}
    assert known_defaults([*sides, resolved({})]) == DEFAULTS


def test_the_nearest_differs_least() -> None:
    far = resolved({"jpeg_quality": 10, "crop": {"size": [1, 1], "centered": False}})
    near = resolved({"jpeg_quality": 90})
    found = nearest(asked({"jpeg_quality": 85}), [far, near])
    assert found is not None
    assert found[0] is near
    assert near_text("5a57948d1f0cab", found[1]) == (
        "differs from 5a57948d1f0c only in jpeg_quality: 90 → 85"
    )
    assert nearest(asked({"jpeg_quality": 85}), [far], at_most=1) is None
    assert nearest(asked({}), []) is None


def test_what_will_be_the_same_data_is_said_so() -> None:
    found = nearest(asked({"jpeg_quality": 95}), [resolved({}), resolved({"jpeg_quality": 90})])
    assert found is not None
    assert near_text("5a57948d1f0cab", found[1]) == "is the same data as 5a57948d1f0c"
