"""Readers of shards are noted, and not at every shard."""

from __future__ import annotations

from datamill_notifier import readers
from datamill_notifier.readers import NOTED_EVERY_SECS, Readers


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def test_a_build_is_noted_once_a_minute_however_many_shards_are_fetched() -> None:
    noted: list[str] = []
    clock = Clock()
    known = Readers(noted.append, clock)
    for _ in range(1000):
        known.reads("a")
        known.reads("b")
    assert noted == ["a", "b"]
    clock.now += 0.9 * NOTED_EVERY_SECS
    known.reads("a")
    assert noted == ["a", "b"]
    clock.now += 0.2 * NOTED_EVERY_SECS
    known.reads("a")
    assert noted == ["a", "b", "a"]


def test_it_does_not_remember_all_that_was_ever_read() -> None:
    noted: list[str] = []
    known = Readers(noted.append, Clock())
    for number in range(3 * readers._MOST_KNOWN):
        known.reads(str(number))
    assert len(known._noted_at) <= readers._MOST_KNOWN
    assert len(noted) == 3 * readers._MOST_KNOWN
