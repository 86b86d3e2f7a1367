"""Moving rows from one state to the next: the only place where a state is written over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, Row, Table, update

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.schema import builds, datasets, hook_calls, tasks
from datamill_builder.catalog.states import (
    BUILD_MOVES,
    DATASET_MOVES,
    HOOK_CALL_MOVES,
    TASK_MOVES,
)

_MOVES = cast(
    "Mapping[str, Mapping[StrEnum, frozenset[StrEnum]]]",
    {
        builds.name: BUILD_MOVES,
        datasets.name: DATASET_MOVES,
        tasks.name: TASK_MOVES,
        hook_calls.name: HOOK_CALL_MOVES,
    },
)
_TOLD: Mapping[str, Sequence[Column[Any]]] = {
    builds.name: [builds.c.content_key],
    datasets.name: [datasets.c.dataset_id],
    hook_calls.name: [hook_calls.c.hook, hook_calls.c.event, hook_calls.c.dataset_id],
    tasks.name: [
        tasks.c.kind,
        tasks.c.subject,
        tasks.c.number,
        tasks.c.task_id,
        tasks.c.fence,
        tasks.c.attempts,
    ],
}


class ImpossibleTransition(RuntimeError):
    """A move that no table allows, or from a state that its row is not in: the sign of a bug.

    No `DatamillError`: nobody is meant to handle it.
    """


def move(
    change: Transaction,
    table: Table,
    origin: StrEnum,
    to: StrEnum,
    *which: ColumnElement[bool],
    **values: Any,
) -> Sequence[Row[Any]]:
    """Move those rows that match and are in `origin`; return what names them.

    The state is compared in the statement that writes it, so that of two who move the same row,
    on whichever database, one finds that nothing matches.
    """
    if to not in _MOVES[table.name][origin]:
        raise ImpossibleTransition(f"{table.name}: there is no move {origin} → {to}")
    rows = change.connection.execute(
        update(table)
        .where(table.c.state == origin, *which)
        .values(state=to, **values)
        .returning(*_TOLD[table.name])
    ).all()
    for row in rows:
        change.moved(table.name, row[:3], origin, to)
    return rows
