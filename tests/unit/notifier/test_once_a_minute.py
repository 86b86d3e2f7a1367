"""What happens all the time is noted once a minute."""

from __future__ import annotations

from datamill_notifier import once_a_minute
from datamill_notifier.once_a_minute import MINUTE_SECS, OnceAMinute


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def test_each_is_due_once_a_minute_however_often_it_happens() -> None:
    clock = Clock()
    noted = OnceAMinute(clock)
    assert [noted.is_due(key) for key in "abab"] == [True, True, False, False]
    clock.now += 0.9 * MINUTE_SECS
    assert not noted.is_due("a")
    clock.now += 0.2 * MINUTE_SECS
    assert [noted.is_due("a") for _ in range(2)] == [True, False]


def test_what_could_not_be_noted_is_due_again() -> None:
    noted = OnceAMinute(Clock())
    assert noted.is_due("a")
    noted.forget("a")
    assert [noted.is_due("a") for _ in range(2)] == [True, False]


def test_it_does_not_remember_all_that_ever_happened() -> None:
    noted = OnceAMinute(Clock())
    due = [noted.is_due(str(number)) for number in range(3 * once_a_minute._MOST_KNOWN)]
    assert all(due)
    assert len(noted._noted_at) <= once_a_minute._MOST_KNOWN
