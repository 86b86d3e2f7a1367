"""Which options were asked for, which are defaults, which differ."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Row

from datamill_notifier.live.options import (
    UNKNOWN,
    Difference,
    differences,
    known_defaults,
    options,
)


def dataset(given: dict[str, Any], resolved: dict[str, Any] | None, version: str = "1") -> Row[Any]:
    recipe = None if resolved is None else json.dumps({"config": resolved})
    row = SimpleNamespace(config=json.dumps(given), recipe=recipe, handler_version=version)
    return cast(Row[Any], row)


def test_defaults_are_what_others_left_out() -> None:
    rows = [
        dataset({"size": 1}, {"size": 1, "flip": 0, "seed": None}),
        dataset({"flip": 1}, {"size": 320, "flip": 1, "seed": None}),
        dataset({"flip": 1}, None),
        dataset({}, {"size": 9, "flip": 9, "other": 9}, version="2"),
    ]
    assert known_defaults(rows, "1") == {"size": 320, "flip": 0, "seed": None}
    assert known_defaults([], "1") == {}


def test_what_was_changed_comes_first() -> None:
    found = options(
        {"size": 1, "flip": 0, "rare": 7},
        {"size": 1, "flip": 0, "rare": 7, "seed": None},
        {"size": 320, "flip": 0, "seed": None},
    )
    assert [option.name for option in found] == ["rare", "size", "flip", "seed"]
    rare, size, flip, seed = found
    assert (rare.changed, rare.default_known) == (True, False)
    assert (size.changed, size.default) == (True, 320)
    assert (flip.changed, flip.given) == (False, True)
    assert (seed.changed, seed.given) == (False, False)


def test_before_it_is_resolved_there_is_what_the_request_says() -> None:
    (only,) = options({"size": 1}, None, {})
    assert (only.name, only.value, only.changed) == ("size", 1, True)


def test_differences() -> None:
    found = differences({"a": 1, "b": [1, 2], "c": None}, {"a": 1, "b": [2, 1], "d": 0})
    assert found == [
        Difference("b", [1, 2], [2, 1]),
        Difference("c", None, UNKNOWN),
        Difference("d", UNKNOWN, 0),
        Difference("a", 1, 1),
    ]
    assert [each.differs for each in found] == [True, True, True, False]
