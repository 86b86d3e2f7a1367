"""What a row is about, as the `extra` of a log line: by what the row says, nothing is looked up."""

from __future__ import annotations

from collections.abc import Sequence

from datamill.logs import CONTENT_KEY, DATASET_ID
from datamill_builder.catalog.schema import builds, datasets, hook_calls, tasks
from datamill_builder.catalog.states import TaskKind


def task_named(kind: object, subject: object) -> dict[str, object]:
    """Return what a task is about: a request is resolved, all other work is on a build."""
    return {DATASET_ID if kind == TaskKind.RESOLVE else CONTENT_KEY: subject}


def row_named(table: str, named_by: Sequence[object]) -> dict[str, object]:
    """Return what a row is about that was moved to another state; `named_by`: what names it."""
    if table == tasks.name:
        return task_named(*named_by[:2])
    if table == builds.name:
        return {CONTENT_KEY: named_by[0]}
    if table == datasets.name:
        return {DATASET_ID: named_by[0]}
    return {DATASET_ID: named_by[2]} if table == hook_calls.name else {}
