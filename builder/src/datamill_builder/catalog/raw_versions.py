"""The versions of raw data that were seen, and what was made of each."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from datamill_builder.catalog.engine import Catalog, Transaction
from datamill_builder.catalog.lifecycle import forget_marks
from datamill_builder.catalog.rows import insert_new
from datamill_builder.catalog.schema import builds, datasets, raw_versions

_NOTED_EVERY_SECS = 300.0
"""A version that is seen again and again is written down so often: each costs a disk's time."""


@dataclass(frozen=True)
class Seen:
    """A version of raw data. `files` and `size_bytes`: None where nobody counted them."""

    version: str
    files: int | None = None
    size_bytes: int | None = None
    first_seen_at: float | None = None
    last_seen_at: float | None = None


@dataclass(frozen=True)
class Made:
    """A build from a version of raw data. `raw`: its folder, below the raw root or absolute."""

    dataset_name: str
    content_key: str
    state: str
    archive: str | None
    size_bytes: int | None
    raw: str
    version: str


def note(catalog: Catalog, folder: str, version: str, files: int, size_bytes: int) -> None:
    """Write down that a version of a folder's raw data was seen, unless it just was."""
    key = {"folder": folder, "version": version}
    here = raw_versions.c.folder == folder, raw_versions.c.version == version
    with catalog.read() as connection:
        known = connection.scalar(select(raw_versions.c.last_seen_at).where(*here))
    now = time.time()
    if known is not None and abs(now - known) < _NOTED_EVERY_SECS:
        return
    counted = {"files": files, "bytes": size_bytes, "last_seen_at": now}
    with catalog.write() as change:
        if not insert_new(change.connection, raw_versions, key | counted | {"first_seen_at": now}):
            change.connection.execute(update(raw_versions).where(*here).values(counted))


def versions_of(connection: Connection, folder: str) -> list[Seen]:
    """Return the versions of a folder's raw data that were seen, what was seen last first."""
    rows = connection.execute(
        select(raw_versions)
        .where(raw_versions.c.folder == folder)
        .order_by(raw_versions.c.last_seen_at.desc(), raw_versions.c.version)
    )
    return [
        Seen(row.version, row.files, row.bytes, row.first_seen_at, row.last_seen_at) for row in rows
    ]


def all_made(connection: Connection, dataset_name: str | None = None) -> list[Made]:
    """Return all builds, or those of a dataset name, with what they are made from; newest first."""
    columns = builds.c.content_key, builds.c.dataset_name, builds.c.state, builds.c.archive
    query = select(*columns, builds.c.bytes, builds.c.recipe).order_by(builds.c.created_at.desc())
    if dataset_name is not None:
        query = query.where(builds.c.dataset_name == dataset_name)
    return [_made(row) for row in connection.execute(query)]


def _made(row: Any) -> Made:
    recipe = json.loads(row.recipe)
    return Made(
        row.dataset_name,
        row.content_key,
        row.state,
        row.archive,
        row.bytes,
        recipe.get("raw", row.dataset_name),
        recipe.get("raw_version", ""),
    )


def forget_marks_of(change: Transaction, folder: str) -> int:
    """Have what is made of a folder resolved anew when it is asked for; return how many ids."""
    marked: dict[str, int] = defaultdict(int)
    for marks in change.connection.scalars(
        select(datasets.c.raw_marks).where(datasets.c.raw_marks.is_not(None))
    ):
        marked[marks] += 1
    of_folder = [marks for marks in marked if _folder_of(marks) == folder]
    for marks in of_folder:
        forget_marks(change, marks)
    return sum(marked[marks] for marks in of_folder)


def _folder_of(marks: str) -> str | None:
    try:
        told = json.loads(marks)
    except ValueError:
        return None
    return told.get("folder") if isinstance(told, dict) else None
