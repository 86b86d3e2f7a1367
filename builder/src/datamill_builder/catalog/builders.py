"""The builders that there are, as they tell of themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, or_, select

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import builders

SEEN_EVERY_SECS = 10.0
"""How often a builder tells of itself."""
SILENT_SECS = 3.5 * SEEN_EVERY_SECS
"""A builder that tells nothing for so long is taken for dead, by people."""
_KEPT_SECS = 24 * 3600.0
_SHORT_NAME = 8


@dataclass(frozen=True)
class Builder:
    """What a builder tells of itself. `name`: the owner of its tasks."""

    name: str
    host: str
    workers: int
    version: str
    started_at: float


def seen(change: Transaction, builder: Builder, *, stopped: bool = False) -> None:
    """Note that a builder runs, or that this was its end; forget those long gone."""
    moment = time.time()
    row = {**asdict(builder), "seen_at": moment, "stopped_at": moment if stopped else None}
    upsert(change.connection, builders, [row], ["name"])
    change.connection.execute(delete(builders).where(builders.c.seen_at < moment - _KEPT_SECS))


def alive(connection: Connection) -> tuple[int, int]:
    """Return how many builders there are, and how many workers they have in all."""
    recent = builders.c.seen_at > time.time() - SILENT_SECS
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(builders.c.workers), 0)).where(
            recent, builders.c.stopped_at.is_(None)
        )
    ).one()
    return int(row[0]), int(row[1])


def known(connection: Connection, since: float) -> list[Row[Any]]:
    """Return the rows of builders that run, or have told of themselves since a time, by host."""
    recent = or_(builders.c.stopped_at.is_(None), builders.c.seen_at >= since)
    query = select(builders).where(recent).order_by(builders.c.host, builders.c.started_at)
    return list(connection.execute(query))


def is_silent(row: Row[Any], now: float) -> bool:
    """Return whether a builder that has not stopped is taken for dead."""
    return row.stopped_at is None and now - row.seen_at >= SILENT_SECS


def labels(rows: Sequence[Row[Any]]) -> dict[str, str]:
    """Return what builders are called: by their host, and by more where that is several."""
    hosts = [row.host for row in rows if row.stopped_at is None]
    return {
        row.name: row.host
        if hosts.count(row.host) == 1 and row.stopped_at is None
        else f"{row.host} ({row.name[:_SHORT_NAME]})"
        for row in rows
    }


def label(owner: str | None, named: Mapping[str, str]) -> str:
    """Return what the owner of a task is called, known or not; `named`: by `labels`."""
    return named.get(owner or "", f"builder {(owner or '?')[:_SHORT_NAME]}")
