"""Requests and downloads over time, in steps that suit how long ago the first one was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datamill_builder.catalog.usage import Counted
from datamill_notifier.live.written import many, moment

_HOUR_SECS = 3600
_DAY_SECS = 24 * _HOUR_SECS
_STEPS = {_HOUR_SECS: "hour", _DAY_SECS: "day", 7 * _DAY_SECS: "week", 28 * _DAY_SECS: "4 weeks"}
_MOST_STEPS = 60
_LEAST_STEPS = 24


@dataclass(frozen=True)
class Timeline:
    """Counts in steps, oldest first. `step`: what one is called."""

    step: str
    starts: list[int]
    counts: list[int]

    @property
    def total(self) -> int:
        """How many in all."""
        return sum(self.counts)

    @property
    def most(self) -> int:
        """How many in the busiest step."""
        return max(self.counts, default=0)

    def titles(self, what: str) -> list[str]:
        """Return what each step says when one points at it; `what` names one of them."""
        return [
            f"{moment(start)[:16]} UTC, one {self.step}: {many(count, what)}"
            for start, count in zip(self.starts, self.counts, strict=True)
        ]


def step_secs(since: float, now: float) -> int:
    """Return how long a step is, so that there are not too many of them from a time on."""
    for secs in _STEPS:
        if (now - since) / secs < _MOST_STEPS:
            return secs
    return max(_STEPS)


def timeline(counted: Sequence[Counted], secs: int, since: float, now: float) -> Timeline:
    """Return every step from a time until now, those without any too; at most the last sixty."""
    last = int(now) // secs
    steps = min(_MOST_STEPS, max(_LEAST_STEPS, last - int(since) // secs + 1))
    starts = [step * secs for step in range(last - steps + 1, last + 1)]
    by_start = {each.start: each.count for each in counted}
    return Timeline(_STEPS[secs], starts, [by_start.get(start, 0) for start in starts])
