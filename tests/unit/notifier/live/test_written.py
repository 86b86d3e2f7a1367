"""Numbers and times as people read them."""

from __future__ import annotations

import math

import pytest

from datamill_notifier.live import written

DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("secs", "said"),
    [
        (None, DASH),
        (0, "0 s"),
        (0.04, "0.0 s"),
        (1.25, "1.2 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.9, "1 h 00 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (86400 * 1234 + 3600 * 5, "1,234 d 5 h"),
    ],
)
def test_durations(secs: float | None, said: str) -> None:
    assert written.duration(secs) == said


@pytest.mark.parametrize(
    ("secs", "said"),
    [
        (-5, "just now"),
        (59.9, "just now"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7300, "2 h ago"),
        (86400 * 2, "2 d ago"),
    ],
)
def test_how_long_ago(secs: float, said: str) -> None:
    assert written.ago(1e9 - secs, 1e9) == said


def test_nothing_is_a_dash() -> None:
    assert {written.count(None), written.rate(None), written.ago(None, 1.0)} == {DASH}
    assert written.moment(None) == DASH


def test_numbers() -> None:
    assert written.count(1234567) == "1,234,567"
    assert (written.rate(0.72), written.rate(9.96), written.rate(1234.4)) == (
        "0.7",
        "10.0",
        "1,234",
    )
    assert written.moment(1769860800.0) == "2026-01-31 12:00:00 UTC"
    assert written.iso(1769860800.9) == "2026-01-31T12:00:00Z"


def test_who_waits() -> None:
    assert written.names([], 3) == ""
    assert written.names(["anna"], 1) == "anna"
    assert written.names(["anna", "ben"], 5) == "anna, ben and 3 more"
    assert written.names(list("abcdef"), 2) == "a, b, c, d and 2 more"


def test_long_values_are_cut() -> None:
    assert written.short_value([1024, 768]) == "[1024, 768]"
    assert written.short_value("ä" * 100, 10) == '"' + "ä" * 8 + "…"
    assert written.short_value(math.pi, 4) == "3.1…"
