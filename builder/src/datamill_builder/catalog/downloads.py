"""The log of downloads: who fetched what, without who."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import insert, update

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.schema import downloads


@dataclass(frozen=True)
class Download:
    """A download as the catalog knows it."""

    seq: int


def begin(change: Transaction, content_key: str, started_at: float) -> Download:
    """Write down that a download begins; its `ended_at` stays empty until it ends."""
    row = {"content_key": content_key, "bytes": 0, "started_at": started_at}
    seq = change.connection.execute(insert(downloads).values(row).returning(downloads.c.seq))
    return Download(seq.scalar_one())


def end(change: Transaction, ended: Iterable[tuple[Download, int, float]]) -> None:
    """Write down (download, bytes that went out, when it ended)."""
    for download, sent_bytes, ended_at in ended:
        change.connection.execute(
            update(downloads)
            .where(downloads.c.seq == download.seq)
            .values(bytes=sent_bytes, ended_at=ended_at)
        )
