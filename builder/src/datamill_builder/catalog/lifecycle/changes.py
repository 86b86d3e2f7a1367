"""Changes that several steps make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from datamill.events import Event
from datamill.trace_context import TraceContext
from datamill.tracing import Carrying
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.find import (
    find_build,
    hold_traces,
)
from datamill_builder.catalog.lifecycle.hooked import call_hooks
from datamill_builder.catalog.moves import ImpossibleTransition, move
from datamill_builder.catalog.outbox import tell
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.catalog.states import BuildState, DatasetState
from datamill_builder.catalog.tasks import StaleFence


def move_build(
    change: Transaction,
    content_key: str,
    origin: BuildState,
    to: BuildState,
    epoch: int | None,
    /,
    **values: Any,
) -> None:
    """Move a build on, if it is still in `origin` and in this epoch.

    Raises `StaleFence` where it is in a later epoch, else `ImpossibleTransition`.
    """
    table = builds.c
    mine = (table.content_key == content_key, table.epoch == epoch)
    if move(change, builds, origin, to, *mine, **values):
        return
    build = find_build(change.connection, content_key)
    if build is not None and build.epoch != epoch:
        raise StaleFence
    found = build and f"{build.state} in epoch {build.epoch}"
    raise ImpossibleTransition(f"build {content_key}: {origin} → {to}, but it is {found}")


def move_dataset(
    change: Transaction, dataset_id: str, origin: DatasetState, to: DatasetState, **values: Any
) -> None:
    """Move a dataset id on, if it is still in `origin`; raises `ImpossibleTransition`."""
    if not move(change, datasets, origin, to, datasets.c.dataset_id == dataset_id, **values):
        raise ImpossibleTransition(f"dataset {dataset_id}: {origin} → {to}, but it is elsewhere")


def nobody_waits(change: Transaction, content_key: str) -> None:
    """Count nobody as waiting for a build: all were told."""
    change.connection.execute(
        update(datasets).where(datasets.c.content_key == content_key).values(waiting=0)
    )


def tell_all(change: Transaction, content_key: str, event: Callable[[str], Event]) -> None:
    """Tell an event, made per dataset id, to all ids that mean a build, and to hooks."""
    for dataset_id, trace in hold_traces(change, content_key).items():
        told = event(dataset_id)
        with Carrying(TraceContext.decode(trace)):  # each its own
            tell(change, told)
        call_hooks(change, told)
