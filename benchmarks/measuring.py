"""Ratios, not seconds: machines are shared and noisy, so what is compared is measured in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

ROUNDS = 5


class CannotMeasure(Exception):
    """Something is missing that a question needs."""


@dataclass(frozen=True)
class Limit:
    """What a figure has to reach beside its peer's."""

    value: float
    score: Callable[[float, float], float]
    """Ours and the peer's to what is compared with the value."""
    at_least: bool
    wording: str

    @classmethod
    def times_at_least(cls, value: float) -> Limit:
        """Ours is at least so many times the peer's."""
        return cls(value, lambda ours, peer: ours / peer, True, f"at least {value:g} times")

    @classmethod
    def times_at_most(cls, value: float) -> Limit:
        """Ours is at most so many times the peer's."""
        return cls(value, lambda ours, peer: ours / peer, False, f"at most {value:g} times")

    @classmethod
    def more_at_most(cls, value: float) -> Limit:
        """Ours exceeds the peer's by at most so much, in the figure's unit."""
        return cls(value, lambda ours, peer: ours - peer, False, f"at most {value:g} more")

    @classmethod
    def at_most(cls, value: float) -> Limit:
        """Ours alone is at most so much, in the figure's unit."""
        return cls(value, lambda ours, _: ours, False, f"at most {value:g}")

    def reached_by(self, score: float) -> bool:
        """Whether a score is good enough."""
        return score >= self.value if self.at_least else score <= self.value


@dataclass(frozen=True)
class Comparison:
    """One figure of ours beside that of a peer, round by round."""

    question: str
    unit: str
    ours: tuple[float, ...]
    peer_name: str
    """What ours is compared with; empty where the limit is absolute."""
    peer: tuple[float, ...]
    """As many as ours, of the same rounds; anything where the limit is absolute."""
    limit: Limit
    note: str = ""

    @property
    def scores(self) -> tuple[float, ...]:
        """Ours beside the peer's, of each round: a ratio, a difference, or ours alone."""
        peer = self.peer or (float("nan"),) * len(self.ours)
        return tuple(self.limit.score(*pair) for pair in zip(self.ours, peer, strict=True))

    @property
    def score(self) -> float:
        """The median of the rounds' scores."""
        return statistics.median(self.scores)

    @property
    def reached(self) -> bool:
        """Whether the score is what it has to be."""
        return self.limit.reached_by(self.score)

    def as_json(self) -> dict[str, Any]:
        """Return what a report is made from."""
        return {
            "question": self.question,
            "unit": self.unit,
            "ours": self.ours,
            "peer_name": self.peer_name,
            "peer": self.peer if self.peer_name else (),
            "scores": self.scores,
            "score": self.score,
            "limit": self.limit.value,
            "at_least": self.limit.at_least,
            "wanted": self.limit.wording,
            "reached": self.reached,
            "note": self.note,
        }

    def line(self) -> str:
        """Return the comparison as a line to read."""
        low, high = min(self.scores), max(self.scores)
        beside = f", {self.peer_name} {statistics.median(self.peer):.4g}" if self.peer_name else ""
        return (
            f"{self.question}: {statistics.median(self.ours):.4g} {self.unit}{beside}: "
            f"{self.score:.3g} ({low:.3g} to {high:.3g}), {self.limit.wording}: "
            f"{'reached' if self.reached else 'NOT reached'}"
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
