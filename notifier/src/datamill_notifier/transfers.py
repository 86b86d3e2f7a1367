"""The transfers that are under way, and what went out so far."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from datamill_builder.catalog.counters import Counters
from datamill_notifier import counted
from datamill_notifier.download_log import DownloadLog
from datamill_notifier.once_a_minute import OnceAMinute
from datamill_notifier.pieces import Download, Downloads
from datamill_notifier.senders import Senders

log = logging.getLogger(__name__)


class Transfer:
    """One body that is being sent."""

    def __init__(
        self, transfers: Transfers, download: Download | None, shard_of: str | None
    ) -> None:
        self._transfers = transfers
        self._download = download
        self._shard_of = shard_of
        self.sent_bytes = 0

    def add(self, count: int) -> None:
        """Count bytes that went out."""
        self.sent_bytes += count
        self._transfers.count(self._download, count)
        if self._shard_of:
            self._transfers.reads(self._shard_of)


class Transfers:
    """All bodies that are being sent; belongs to the event loop."""

    def __init__(self, downloads: DownloadLog, senders: Senders, counters: Counters) -> None:
        self._log = downloads
        self._downloads = Downloads(downloads, counters)
        self._counters = counters
        self.senders = senders
        self._read = OnceAMinute()
        self._tasks: set[asyncio.Task[object]] = set()
        self._others = 0
        """How many bodies are no piece of a download."""
        self.sent_bytes = 0
        """Since the start."""

    @property
    def under_way(self) -> int:
        """How many there are just now: a download is one with all its pieces, a shard is one."""
        return self._downloads.under_way + self._others

    @contextmanager
    def begun(
        self, archive_of: str | None, shard_of: str | None, client: str | None, start: int
    ) -> Iterator[Transfer]:
        """Count a transfer of the current task, which begins at byte `start` for a client.

        With the content key `archive_of` it is a download of that archive, or a piece of one; with
        `shard_of` it is noted, for as long as bytes go out, that somebody reads that build.
        """
        task = asyncio.current_task()
        assert task is not None
        download = None
        if archive_of:
            download = self._downloads.begin_piece(archive_of, client, start)
        else:
            self._others += 1
        self._tasks.add(task)
        outcome = "broken"
        try:
            yield Transfer(self, download, shard_of)
            outcome = "sent"
        finally:
            self._tasks.discard(task)
            if download:
                self._counters.add(counted.PIECES, 1, outcome)
                self._downloads.end_piece(download)
            else:
                self._others -= 1

    def count(self, download: Download | None, count: int) -> None:
        """Count bytes that went out, of a download or of something else."""
        self.sent_bytes += count
        if download:
            self._downloads.sent(download, count)

    def reads(self, content_key: str) -> None:
        """Have it noted that a build is read shard by shard, which keeps it in the store.

        That takes no row in the log of downloads, which would count it as one; and not a change of
        the catalog for each shard, as a training may fetch many a second.
        """
        if self._read.is_due(content_key):
            self._log.read(content_key)

    async def finish(self, grace_secs: float) -> None:
        """Let transfers end by themselves for a while, then end them."""
        if self._tasks:
            log.info("%d downloads are open; they get %g s", len(self._tasks), grace_secs)
            await asyncio.wait(self._tasks, timeout=grace_secs)
        cut = set(self._tasks)
        for task in cut:
            task.cancel()
        if cut:
            log.warning("%d downloads were cut off; clients resume them", len(cut))
            await asyncio.wait(cut)
