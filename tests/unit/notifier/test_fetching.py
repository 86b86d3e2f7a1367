"""Requests for pieces of an archive belong to the download that they go on with."""

from __future__ import annotations

from datamill_notifier import fetching
from datamill_notifier.fetching import CONTINUED_WITHIN_SECS, Fetching


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def test_what_begins_further_on_is_a_piece_of_the_last_one() -> None:
    known = Fetching(Clock())
    first = known.download("a", "here", 0)
    assert known.download("a", "here", 100) is first
    second = known.download("a", "here", 0)
    assert second is not first
    assert known.download("a", "here", 50) is second


def test_of_another_archive_or_address_it_is_a_download_of_its_own() -> None:
    known = Fetching(Clock())
    first = known.download("a", "here", 0)
    assert known.download("b", "here", 100) is not first
    assert known.download("a", "there", 100) is not first
    assert known.download("a", "here", 100) is first


def test_what_goes_on_much_later_is_another_one() -> None:
    clock = Clock()
    known = Fetching(clock)
    first = known.download("a", "here", 0)
    clock.now += 0.9 * CONTINUED_WITHIN_SECS
    assert known.download("a", "here", 1) is first
    clock.now += 1.1 * CONTINUED_WITHIN_SECS
    assert known.download("a", "here", 2) is not first


def test_only_the_latest_are_remembered() -> None:
    known = Fetching(Clock())
    first = known.download("a", "first", 0)
    for number in range(fetching._MOST_KNOWN):
        known.download("a", str(number), 0)
    assert len(known._known) == fetching._MOST_KNOWN
    assert known.download("a", "first", 1) is not first
