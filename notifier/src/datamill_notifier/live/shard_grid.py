"""The shards of a build as small squares, few enough for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from datamill_builder.catalog.states import TaskState
from datamill_builder.catalog.work import Task
from datamill_notifier.live.written import count, duration, size

_MOST_CELLS = 1000


class ShardState(StrEnum):
    """Where a shard stands."""

    DONE = "done"
    IN_HAND = "in-hand"
    WAITING = "waiting"
    FAILED = "broken"


@dataclass(frozen=True)
class Cell:
    """One square: a shard, or several of them. `title` is for who points at it."""

    state: ShardState
    title: str


def shard_states(shards: Sequence[Row[Any]], work: Mapping[int, Task]) -> list[ShardState]:
    """Return where each shard stands."""
    return [_state(row, work.get(row.number)) for row in shards]


def cells(
    shards: Sequence[Row[Any]], work: Mapping[int, Task], builders: Mapping[str, str]
) -> list[Cell]:
    """Return the squares of a build, in the order of its shards.

    `builders` are the names of those who work. Of very many shards, a square stands for several,
    and shows the state that most wants to be seen.
    """
    states = shard_states(shards, work)
    per_cell = -(-len(shards) // _MOST_CELLS) or 1
    if per_cell == 1:
        return [
            Cell(state, _title(row, work.get(row.number), builders))
            for row, state in zip(shards, states, strict=True)
        ]
    return [
        _of_several(start, states[start : start + per_cell])
        for start in range(0, len(shards), per_cell)
    ]


def _state(row: Row[Any], work: Task | None) -> ShardState:
    if row.sha256 is not None:
        return ShardState.DONE
    match work.state if work else None:
        case TaskState.LEASED:
            return ShardState.IN_HAND
        case TaskState.FAILED:
            return ShardState.FAILED
    return ShardState.WAITING


def _title(row: Row[Any], work: Task | None, builders: Mapping[str, str]) -> str:
    said = [f"shard {row.number} of {row.split}"]
    if row.sha256 is not None:
        said += [f"{count(row.records)} records", size(row.bytes)]
        if row.secs:
            said.append(f"made in {duration(row.secs)}")
    elif work is not None:
        owner = work.owner and builders.get(work.owner, work.owner[:8])
        said.append(f"in work on {owner}" if owner else str(work.state))
        if work.attempts > 1:
            said.append(f"attempt {work.attempts}")
        if work.error:
            said.append(work.error)
    return ", ".join(said)


def _of_several(first: int, states: list[ShardState]) -> Cell:
    done = states.count(ShardState.DONE)
    title = f"shards {first} to {first + len(states) - 1}: {done} of {len(states)} done"
    wanted = (ShardState.FAILED, ShardState.IN_HAND, ShardState.WAITING, ShardState.DONE)
    return Cell(next(state for state in wanted if state in states), title)
