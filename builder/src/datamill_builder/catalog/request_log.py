"""Reading the log of accepted requests, from which they can be replayed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from datamill_builder.catalog.schema import builds, datasets, requests
from datamill_builder.catalog.views import PublicState, public_state


@dataclass(frozen=True)
class LoggedRequest:
    """An accepted request, in full."""

    message_id: str
    accepted_at: float
    dataset_id: str
    dataset_name: str
    handler_version: str
    config: str
    state: PublicState
    client: str | None = None
    """Who asked, where that was said."""


@dataclass(frozen=True)
class LogFilter:
    """Which accepted requests; times in seconds since the epoch, `since` ≤ time < `until`."""

    since: float | None = None
    until: float | None = None
    dataset_id: str | None = None
    dataset_name: str | None = None
    failed: bool = False


def logged_requests(connection: Connection, which: LogFilter, limit: int) -> list[LoggedRequest]:
    """Return the newest accepted requests that match, newest last."""
    query = (
        select(public_state.label("public_state"), requests, datasets)
        .join(datasets, datasets.c.dataset_id == requests.c.dataset_id)
        .outerjoin(builds, builds.c.content_key == datasets.c.content_key)
    )
    if which.since is not None:
        query = query.where(requests.c.accepted_at >= which.since)
    if which.until is not None:
        query = query.where(requests.c.accepted_at < which.until)
    if which.dataset_id is not None:
        query = query.where(requests.c.dataset_id == which.dataset_id)
    if which.dataset_name is not None:
        query = query.where(datasets.c.dataset_name == which.dataset_name)
    if which.failed:
        query = query.where(public_state == PublicState.FAILED.value)
    rows = connection.execute(query.order_by(requests.c.seq.desc()).limit(limit)).all()
    return [
        LoggedRequest(
            message_id=row.message_id,
            accepted_at=row.accepted_at,
            dataset_id=row.dataset_id,
            dataset_name=row.dataset_name,
            handler_version=row.handler_version,
            config=row.config,
            state=PublicState(row.public_state),
            client=row.client,
        )
        for row in reversed(rows)
    ]
