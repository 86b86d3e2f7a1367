"""Why a dataset is not there yet, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from datamill_builder.catalog.builders import label
from datamill_builder.catalog.states import TaskKind
from datamill_builder.catalog.work import Work

_MOST_CHARACTERS = 200

_DONE_BY = {
    TaskKind.RESOLVE: "its handler's environment is made ready and its options are checked",
    TaskKind.PLAN: "its source items are listed and cut into shards",
    TaskKind.PACK: "its archive is being packed",
}
_NOT_BEGUN = {
    TaskKind.RESOLVE: "no builder has taken the request yet",
    TaskKind.PLAN: "no builder has begun to list its source items",
    TaskKind.SHARD: "no worker has taken a shard of it just now",
    TaskKind.PACK: "its shards are done; the archive is about to be packed",
}
_AGAIN = {
    TaskKind.RESOLVE: "it",
    TaskKind.PLAN: "its plan",
    TaskKind.SHARD: "a shard",
    TaskKind.PACK: "its archive",
}


def why(work: Work, known: Mapping[str, str], ahead: int, *, builders_run: bool) -> str | None:
    """Return what a dataset waits for; None where its shards are made and nothing went wrong.

    `known`: what builders are called; `ahead`: how many builds began before it; `builders_run`:
    whether any builder is known to run.
    """
    said = [trouble(work), _doing(work, known)]
    if not work.in_hand:
        nobody = None if builders_run else "no builder is known to run"
        said.append(nobody if said[0] else _not_begun(work, ahead, nobody))
    return "; ".join(each for each in said if each) or None


def trouble(work: Work) -> str | None:
    """Return that it waits for room on a disk, or what went wrong in what is tried again."""
    if work.no_space:
        return _one_line(work.no_space)
    for kind in TaskKind:
        if kind in work.errors:
            return f"{_AGAIN[kind]} is tried again after: {_one_line(work.errors[kind])}"
    return None


def _doing(work: Work, known: Mapping[str, str]) -> str | None:
    for task in work.in_hand:
        if task.kind in _DONE_BY:
            return f"{_DONE_BY[task.kind]}, by {label(task.owner, known)}"
    return None


def _not_begun(work: Work, ahead: int, nobody: str | None) -> str:
    kind = next((kind for kind in TaskKind if kind in work.pending), None)
    if kind is None:
        return "it is about to be taken"
    if nobody:
        return f"{_NOT_BEGUN[kind]}: {nobody}"
    if not ahead or kind is TaskKind.PACK:
        return _NOT_BEGUN[kind]
    busy = "all workers are busy with other builds"
    first = busy if kind is TaskKind.SHARD else _NOT_BEGUN[kind]
    return f"{first}; {ahead:,} build{'s' * (ahead != 1)} began before it"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_CHARACTERS]
