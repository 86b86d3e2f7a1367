"""Numbers and times as the page writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from datamill.table import size

__all__ = [
    "ago",
    "count",
    "duration",
    "iso",
    "many",
    "moment",
    "names",
    "rate",
    "short_value",
    "size",
]

_NOTHING = "\N{EN DASH}"
_MINUTE_SECS = 60
_HOUR_SECS = 3600
_DAY_SECS = 24 * _HOUR_SECS
_TOO_FAST_TO_ROUND = 10
_NAMED = 4


def count(number: float | None) -> str:
    """Return a number with its thousands set apart: `12,345`; a dash for None."""
    return _NOTHING if number is None else f"{number:,.0f}"


def many(number: int, word: str) -> str:
    """Return how many there are of what an English word with a regular plural names."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def rate(per_sec: float | None) -> str:
    """Return how many a second: `1,234`, `0.7`; a dash for None."""
    if per_sec is None:
        return _NOTHING
    return f"{per_sec:,.0f}" if per_sec >= _TOO_FAST_TO_ROUND else f"{per_sec:.1f}"


def duration(secs: float | None) -> str:
    """Return a time span in its two largest units: `2 h 05 min`; a dash for None."""
    if secs is None:
        return _NOTHING
    if 0 < secs < _TOO_FAST_TO_ROUND:
        return f"{secs:.1f} s"
    whole = round(secs)
    if whole < _MINUTE_SECS:
        return f"{whole} s"
    if whole < _HOUR_SECS:
        return f"{whole // _MINUTE_SECS} min {whole % _MINUTE_SECS:02} s"
    if whole < _DAY_SECS:
        return f"{whole // _HOUR_SECS} h {whole % _HOUR_SECS // _MINUTE_SECS:02} min"
    return f"{whole // _DAY_SECS:,} d {whole % _DAY_SECS // _HOUR_SECS} h"


def ago(at: float | None, now: float) -> str:
    """Return how long ago a moment was: `3 min ago`; a dash for None. Rounded down."""
    if at is None:
        return _NOTHING
    secs = max(0.0, now - at)  # another machine's clock may be ahead
    if secs < _MINUTE_SECS:
        return "just now"
    for unit_secs, unit in ((_DAY_SECS, "d"), (_HOUR_SECS, "h"), (_MINUTE_SECS, "min")):
        if secs >= unit_secs:
            return f"{secs // unit_secs:,.0f} {unit} ago"
    raise AssertionError("a minute is the last unit")


def moment(at: float | None) -> str:
    """Return a moment for people: `2026-01-31 12:00:00 UTC`; a dash for None."""
    return (
        _NOTHING
        if at is None
        else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def iso(at: float) -> str:
    """Return a moment as RFC 3339 has it, UTC, seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def names(known: list[str], of: int) -> str:
    """Return who of so many is known by name: `anna, ben and 3 more`; nothing for nobody."""
    shown = known[:_NAMED]
    rest = max(of, len(known)) - len(shown)
    if not shown:
        return ""
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def short_value(value: Any, most: int = 60) -> str:
    """Return a value as JSON, cut to so many characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"
