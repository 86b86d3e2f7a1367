"""The states of datasets: as the catalog says, and with the archive really there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row

from datamill.events import Event, Progress
from datamill.request import DATASET_ID_PATTERN
from datamill_builder.catalog import lifecycle, views
from datamill_builder.catalog.usage import Usage, usage_of
from datamill_builder.catalog.views import DatasetView, PublicState
from datamill_notifier.problems import not_found
from datamill_notifier.service import Service

_DATASET_ID = re.compile(DATASET_ID_PATTERN)


@dataclass(frozen=True)
class Closely:
    """A dataset id with the rows of its shards."""

    view: DatasetView
    shards: list[Row[Any]]
    note: str | None = None
    """What it waits for that is nobody's turn."""
    waiting_clients: Sequence[str] = ()
    """Who waits for it, where that was said: some of them."""
    usage: Usage = field(default_factory=Usage)
    progress: Progress | None = None
    """The last `progress` event, while its build tells of itself."""

    def fetchable(self) -> list[Row[Any]]:
        """Return the shards that are done and there."""
        ready = self.view.state is PublicState.READY
        return [
            row
            for row in self.shards
            if row.sha256 and (row.file or (ready and row.archive_offset is not None))
        ]


def is_dataset_id(text: str) -> bool:
    """Return whether a text is a dataset id."""
    return _DATASET_ID.match(text) is not None


def find(service: Service, dataset_id: str) -> DatasetView | None:
    """Return a dataset id; None where it was never asked for. Blocks."""
    with service.catalog.read() as connection:
        view = views.dataset_view(connection, dataset_id)
    return None if view is None else as_stored(service, view)


def find_closely(service: Service, dataset_id: str) -> Closely:
    """Return a dataset id with its shards; raise the problem of an unknown one. Blocks."""
    with service.catalog.read() as connection:
        view = views.dataset_view(connection, dataset_id)
        if view is None:
            raise not_found("nobody has asked for this dataset yet")
        key = view.dataset.content_key
        shards = lifecycle.find_shards(connection, key) if key else []
        note = views.waiting_for_space(connection, dataset_id, key)
        clients = views.waiting_clients(connection, view.dataset)
        used = usage_of(connection, [key]) if key else {}
    view = as_stored(service, view)
    progress = None
    if view.state is PublicState.BUILDING:
        progress = service.hub.progress.of(dataset_id)
    return Closely(view, shards, note, clients, used.get(key, Usage()), progress)


def newest(
    service: Service, state: PublicState | None, dataset_name: str | None, limit: int
) -> list[DatasetView]:
    """Return datasets, newest first. Blocks."""
    with service.catalog.read() as connection:
        found = views.dataset_views(connection, state, dataset_name, limit)
    return [as_stored(service, view) for view in found]


def usage_of_each(service: Service, found: Sequence[DatasetView]) -> dict[str, Usage]:
    """Return how each dataset is used, by dataset id: whatever ids its content is asked for by.

    Blocks.
    """
    keys = [view.build.content_key for view in found if view.build is not None]
    with service.catalog.read() as connection:
        used = usage_of(connection, keys)
    return {
        view.dataset_id: used.get(view.build.content_key if view.build else "", Usage())
        for view in found
    }


def state_events(service: Service, view: DatasetView) -> list[Event]:
    """Return the events that say where a dataset stands."""
    match view.state:
        case PublicState.READY:
            events: list[Event | None] = [view.ready(service.public_url)]
        case PublicState.FAILED | PublicState.CANCELLED:
            events = [view.failed()]
        case PublicState.QUEUED | PublicState.BUILDING:
            events = [view.accepted(), view.planned()]
        case PublicState.EVICTED:
            events = [view.evicted()]
    return [event for event in events if event is not None]


def as_stored(service: Service, view: DatasetView) -> DatasetView:
    """Say `evicted` of an archive that is gone: asking again builds it again, as then."""
    if view.state is not PublicState.READY or view.build is None:
        return view
    if service.store.archive_mark(view.build.archive) is not None:
        return view
    return replace(view, state=PublicState.EVICTED)
