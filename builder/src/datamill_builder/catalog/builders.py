"""The builders that there are, as they tell of themselves."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, select

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import builders

SEEN_EVERY_SECS = 10.0
"""How often a builder tells of itself."""
SILENT_SECS = 3.5 * SEEN_EVERY_SECS
"""A builder that tells nothing for so long is taken for dead, by people."""
_KEPT_SECS = 24 * 3600.0


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
