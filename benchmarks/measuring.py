"""Ratios, not seconds: machines are shared and noisy, so what is compared is measured in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

ROUNDS = 5


@dataclass(frozen=True)
class Comparison:
    """One figure of ours beside that of a peer, round by round."""

    question: str
    unit: str
    ours: tuple[float, ...]
    peer_name: str
    peer: tuple[float, ...]
    limit: float
    """What the ratio has to reach, or must not exceed."""
    at_least: bool
    """Whether more is better: then the ratio has to reach the limit."""
    note: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours to the peer's, of each round."""
        return tuple(mine / theirs for mine, theirs in zip(self.ours, self.peer, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def reached(self) -> bool:
        """Whether the ratio is what it has to be."""
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit

    def line(self) -> str:
        """Return the comparison as a line to read."""
        low, high = min(self.ratios), max(self.ratios)
        wanted = f"{'at least' if self.at_least else 'at most'} {self.limit:g}"
        verdict = "reached" if self.reached else "NOT reached"
        return (
            f"{self.question}: {statistics.median(self.ours):.4g} {self.unit}, "
            f"{self.peer_name} {statistics.median(self.peer):.4g}: "
            f"{self.ratio:.2f} ({low:.2f} to {high:.2f}), {wanted}: {verdict}"
        )


@dataclass
class Stopwatch:
    """Seconds of what ran inside `timed`."""

    secs: float = field(default=0.0)


@contextmanager
def timed() -> Iterator[Stopwatch]:
    """Measure what runs inside."""
    watch = Stopwatch()
    began = time.perf_counter()
    try:
        yield watch
    finally:
        watch.secs = time.perf_counter() - began


def in_turns(
    contenders: Sequence[Callable[[], float]], rounds: int = ROUNDS, warm_up: int = 1
) -> list[tuple[float, ...]]:
    """Return what each contender measured, round by round; who begins changes every round."""
    for contender in [*contenders] * warm_up:
        contender()
    measured: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds):
        order = list(range(len(contenders)))
        for place in order[number % len(order) :] + order[: number % len(order)]:
            measured[place].append(contenders[place]())
    return [tuple(values) for values in measured]
