"""Counts over time: steps that suit, none left out."""

from __future__ import annotations

import pytest

from datamill_builder.catalog.usage import Counted
from datamill_notifier.live.timeline import step_secs, timeline

HOUR, DAY = 3600, 86400
NOW = 20_000 * DAY + 100.0


@pytest.mark.parametrize(
    ("age_secs", "step"),
    [
        (0, HOUR),
        (59 * HOUR, HOUR),
        (3 * DAY, DAY),
        (61 * DAY, 7 * DAY),
        (500 * DAY, 28 * DAY),
        (99999 * DAY, 28 * DAY),
    ],
)
def test_steps(age_secs: float, step: int) -> None:
    assert step_secs(NOW - age_secs, NOW) == step


def test_every_step_is_there_up_to_now() -> None:
    line = timeline([Counted(20_000 * DAY - 2 * HOUR, 7)], HOUR, NOW - 30 * HOUR, NOW)
    assert line.starts[-1] == 20_000 * DAY
    assert [b - a for a, b in zip(line.starts, line.starts[1:], strict=False)] == [HOUR] * 30
    assert line.counts == [0] * 28 + [7, 0, 0]
    assert (line.total, line.most, line.step) == (7, 7, "hour")
    assert line.titles("request")[28] == "2024-10-03 22:00 UTC, one hour: 7 requests"


def test_what_is_new_has_a_day_around_it_and_what_is_old_is_cut() -> None:
    assert len(timeline([], HOUR, NOW, NOW).counts) == 24
    assert len(timeline([], 28 * DAY, 0.0, NOW).counts) == 60
    assert timeline([], HOUR, NOW, NOW).most == 0
