"""Whether clocks go alike: another machine's answers carry its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from datamill.checkup import Found, ok, warning

_NOTED_SECS = 5.0
"""A `Date` is cut to seconds, and an answer takes its time."""


def clock(whose: str, date: str | None, now: float | None = None) -> Iterator[Found]:
    """Say how far a clock is from ours, by the `Date` of an answer that has just come."""
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return
    ahead = theirs - (time.time() if now is None else now)
    if abs(ahead) <= _NOTED_SECS:
        yield ok(f"{whose} has the same time as this one")
        return
    told = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this one"
    yield warning(
        f"the clock of {whose} is {told}",
        "let both follow a time server: times in lists are wrong, work itself goes by no clock",
    )
