"""Which options were asked for, which are defaults."""

from __future__ import annotations

from datamill_builder.catalog.options import options


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


def test_a_default_of_nothing_is_known_too() -> None:
    (same,) = options({"seed": None}, {"seed": None}, {"seed": None})
    assert not same.changed
    (unknown,) = options({"seed": None}, {"seed": None}, {})
    assert unknown.changed


def test_before_it_is_resolved_there_is_what_the_request_says() -> None:
    (only,) = options({"size": 1}, None, {})
    assert (only.name, only.value, only.changed) == ("size", 1, True)


def test_the_same_is_what_json_says() -> None:
    same, number = options({"size": [1, 2], "mirror": 1}, None, {"size": [1, 2], "mirror": True})
    if same.name == "mirror":
        same, number = number, same
    assert not same.changed
    assert number.changed, "Python says that True is 1"
