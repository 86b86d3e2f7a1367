"""Why a dataset is not there yet, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datamill_builder.catalog.overview import Work
from datamill_builder.catalog.states import TaskKind, TaskState
from datamill_builder.catalog.views import DatasetView
from datamill_notifier.live.workers import label

_FIRST = {
    TaskKind.RESOLVE: "its handler's environment is made ready and its options are checked",
    TaskKind.PLAN: "its source items are listed and cut into shards",
}
_NEXT = {
    TaskKind.RESOLVE: "no builder has taken the request yet",
    TaskKind.PLAN: "no builder has begun to list its source items",
}


def why(
    view: DatasetView, active: Sequence[Work], known: Mapping[str, str], builders_run: bool
) -> str:
    """Return what a queued dataset waits for.

    `active` are tasks that are not done, `known` what builders are called, `builders_run` whether
    any is known to run.
    """
    subjects = (view.dataset_id, view.dataset.content_key)
    task = next((task for task in active if task.subject in subjects), None)
    if task is None:
        return "it is about to be taken"
    if task.state is TaskState.LEASED:
        return f"{_FIRST[task.kind]}, by {label(task.owner, known)}"
    if task.error:
        return task.error
    if not builders_run:
        return f"{_NEXT[task.kind]}: no builder is known to run"
    return _NEXT[task.kind] + _behind(view.ahead)


def stalled(view: DatasetView, in_work: bool) -> str:
    """Return why nothing is done for a build that has begun; nothing where something is."""
    build = view.build
    if in_work or build is None:
        return ""
    if build.shards is not None and view.shards_done == build.shards:
        return "its shards are done; the archive is about to be packed"
    return (
        "all workers are busy with other builds" + _behind(view.ahead)
        if view.ahead
        else ("no worker has taken a shard of it just now")
    )


def _behind(ahead: int) -> str:
    if not ahead:
        return ""
    return f"; {ahead:,} build{'s' if ahead > 1 else ''} began before it"
