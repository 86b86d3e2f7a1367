"""How much datasets are used: their downloads, and when somebody last wanted them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from datamill_builder.catalog.schema import downloads

_AT_A_TIME = 500
"""Databases limit how many values one statement may name."""


@dataclass(frozen=True)
class Downloads:
    """Downloads of one content: how many, bytes in all, when the last one began."""

    count: int = 0
    sent_bytes: int = 0
    last_at: float | None = None


def downloads_of(connection: Connection, content_keys: Iterable[str]) -> dict[str, Downloads]:
    """Return the downloads of each content that had any."""
    found: dict[str, Downloads] = {}
    for keys in _parts(sorted(set(content_keys))):
        rows = connection.execute(
            select(
                downloads.c.content_key,
                func.count(),
                func.sum(downloads.c.bytes),
                func.max(downloads.c.started_at),
            )
            .where(downloads.c.content_key.in_(keys))
            .group_by(downloads.c.content_key)
        )
        found |= {key: Downloads(count, int(sent or 0), at) for key, count, sent, at in rows}
    return found


def last_use(asked_at: float, downloaded: Downloads) -> float:
    """Return when somebody last asked for a dataset or fetched it."""
    return max(asked_at, downloaded.last_at or 0.0)


def _parts(keys: list[str]) -> Iterator[list[str]]:
    for begin in range(0, len(keys), _AT_A_TIME):
        yield keys[begin : begin + _AT_A_TIME]
