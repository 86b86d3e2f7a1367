"""Pauses between attempts to connect."""

from __future__ import annotations

import pytest

from datamill.broker import pauses
from datamill.broker.pauses import MAX_BACKOFF_SECS, Pauses


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pauses, "time", clock)
    return clock


def longest(attempts: int) -> float:
    """The longest of many pauses before an attempt."""
    return max(pauses.backoff(attempts) for _ in range(2000))


def test_pauses_are_at_random_and_grow_to_half_a_minute() -> None:
    assert longest(0) <= 0.25
    assert 1.5 < longest(3) <= 2.0
    assert 25 < longest(20) <= MAX_BACKOFF_SECS
    drawn = {round(pauses.backoff(5), 3) for _ in range(200)}
    assert len(drawn) > 150, "many who lose a broker at once do not come back at once"


def test_attempts_that_fail_are_counted(clock: Clock) -> None:
    one = Pauses()
    for attempt in range(1, 9):
        one.next()
        assert one.attempt == attempt


def test_a_connection_that_breaks_soon_comes_back_soon(clock: Clock) -> None:
    one = Pauses()
    for _ in range(30):
        one.worked()
        clock.now += 2.0
        assert one.next() <= 2.0


def test_a_connection_that_is_of_no_use_counts_as_none(clock: Clock) -> None:
    one = Pauses()
    for attempt in range(1, 9):
        one.worked()
        one.failed()
        one.next()
        assert one.attempt == attempt


def test_after_a_long_outage_a_working_connection_counts_again(clock: Clock) -> None:
    one = Pauses()
    for _ in range(10):
        one.next()
    one.worked()
    clock.now += 1.0
    assert one.next() <= 2.0
    one.worked()
    clock.now += 61.0
    one.next()
    assert one.attempt == 0
