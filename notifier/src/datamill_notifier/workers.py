"""Builders as people are shown them: who they are, what each has in hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from datamill_builder.catalog.builders import is_silent, label
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.work import Task

_SHOWN_NUMBERS = 12
_DOES = {
    TaskKind.RESOLVE: "prepares a request",
    TaskKind.PLAN: "lists source items",
    TaskKind.PACK: "packs the archive",
}


@dataclass(frozen=True)
class Hand:
    """What a builder does for one dataset or build."""

    builder: str
    does: str


@dataclass(frozen=True)
class Builder:
    """A builder. Times are seconds since the epoch; `shards`: how many are in its hands."""

    name: str
    host: str
    version: str
    workers: int
    shards: int
    other_work: list[str]
    started_at: float
    seen_at: float
    stopped: bool
    silent: bool


def hands(work: Sequence[Task], known: Mapping[str, str]) -> list[Hand]:
    """Return who does what of the work on a dataset id or its build."""
    numbers: dict[str, list[int]] = defaultdict(list)
    found = []
    for task in work:
        if task.kind is TaskKind.SHARD:
            numbers[label(task.owner, known)].append(task.index)
        else:
            found.append(Hand(label(task.owner, known), _DOES[task.kind]))
    found += [Hand(name, _shards(those)) for name, those in numbers.items()]
    return sorted(found, key=lambda hand: hand.builder)


def builders(rows: Sequence[Row[Any]], work: Sequence[Task], now: float) -> list[Builder]:
    """Return all builders, and those that nobody knows but by their work."""
    by_owner: dict[str, list[Task]] = defaultdict(list)
    for task in work:
        by_owner[task.owner or "?"].append(task)
    known = [
        Builder(
            name=row.name,
            host=row.host,
            version=row.version,
            workers=row.workers,
            started_at=row.started_at,
            seen_at=row.seen_at,
            stopped=row.stopped_at is not None,
            silent=is_silent(row, now),
            **_in_hand(by_owner.pop(row.name, [])),
        )
        for row in rows
    ]
    unknown = [
        Builder(owner, "", "", 0, started_at=0.0, seen_at=0.0, stopped=False, silent=False, **busy)
        for owner, busy in ((owner, _in_hand(tasks)) for owner, tasks in sorted(by_owner.items()))
    ]
    return known + unknown


def _in_hand(work: Sequence[Task]) -> dict[str, Any]:
    other = [_DOES[task.kind] for task in work if task.kind is not TaskKind.SHARD]
    return {"shards": len(work) - len(other), "other_work": sorted(set(other))}


def _shards(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in sorted(numbers)[:_SHOWN_NUMBERS])
    rest = len(numbers) - _SHOWN_NUMBERS
    word = "shard" if len(numbers) == 1 else "shards"
    return f"{word} {shown}" + (f" and {rest} more" if rest > 0 else "")
