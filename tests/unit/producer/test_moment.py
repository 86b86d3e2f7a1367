from __future__ import annotations

import time

import click
import pytest

from datamill_producer.moment import Moment, local_clock, local_time


def read(text: str) -> float:
    return Moment().convert(text, None, None)


def test_rfc_3339_is_utc_where_it_has_no_zone() -> None:
    assert read("2026-01-31T12:00:00Z") == 1769860800.0
    assert read("2026-01-31T12:00:00") == 1769860800.0
    assert read("2026-01-31T14:00:00.500+02:00") == 1769860800.5
    assert read("2026-01-31") == 1769860800.0 - 12 * 3600


@pytest.mark.parametrize(
    ("text", "secs"), [("30s", 30), ("1.5m", 90), ("2h", 7200), ("7d", 604800)]
)
def test_so_long_ago(text: str, secs: float) -> None:
    assert read(text) == pytest.approx(time.time() - secs, abs=5)


@pytest.mark.parametrize("text", ["", "yesterday", "h", "-2h", "2 h", "2w", "12:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        read(text)


def test_shown_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert local_time("2026-01-31T12:00:00.123Z") == "2026-01-31 13:00:00"
        assert local_clock("2026-01-31T23:30:00Z") == "00:30:00"
        assert local_time(None) == ""
    finally:
        monkeypatch.undo()
        time.tzset()
