"""The log of downloads: who fetched what, without who.

All that one client takes of an archive is one, in however many pieces. What has no end yet is
under way, and keeps its archive in the store. Whoever fetches it shard by shard downloads no
archive and is in no row here; that it is read is noted with the build, and keeps the archive, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import insert, update

from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.schema import builds, downloads

LONGEST_SECS = 24 * 3600.0
"""What began longer ago and has no end is of a notifier that is gone for good."""


@dataclass(frozen=True)
class Download:
    """A download as the catalog knows it."""

    seq: int


def begin(change: Transaction, content_key: str, started_at: float, server: str) -> Download:
    """Write down that a download begins; its `ended_at` stays empty until it ends.

    `server`: the notifier that sends it.
    """
    row = {"content_key": content_key, "bytes": 0, "started_at": started_at, "server": server}
    seq = change.connection.execute(insert(downloads).values(row).returning(downloads.c.seq))
    return Download(seq.scalar_one())


def end(change: Transaction, known: Iterable[tuple[Download, int, float | None]]) -> None:
    """Write down (download, bytes that went out, when it ended); None while it goes on."""
    for download, sent_bytes, ended_at in known:
        change.connection.execute(
            update(downloads)
            .where(downloads.c.seq == download.seq)
            .values(bytes=sent_bytes, ended_at=ended_at)
        )


def end_all_of(change: Transaction, servers: Iterable[str], ended_at: float) -> int:
    """Write down that what some notifiers sent has ended: they are gone; return how many."""
    gone = downloads.c.server.in_(list(servers))
    open_ones = update(downloads).where(gone, downloads.c.ended_at.is_(None))
    return change.connection.execute(open_ones.values(ended_at=ended_at)).rowcount


def read(change: Transaction, read_at: Mapping[str, float]) -> None:
    """Write down when somebody last read shards of archives; by content key."""
    for content_key, at in sorted(read_at.items()):  # as all who lock several
        change.connection.execute(
            update(builds).where(builds.c.content_key == content_key).values(read_at=at)
        )
