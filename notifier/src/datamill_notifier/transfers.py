"""The transfers that are under way, and what went out so far."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from datamill_builder.catalog.counters import Counters
from datamill_notifier import counted
from datamill_notifier.download_log import DownloadLog
from datamill_notifier.fetching import Fetching
from datamill_notifier.readers import Readers
from datamill_notifier.senders import Senders

log = logging.getLogger(__name__)


class Transfer:
    """One body that is being sent."""

    def __init__(self, transfers: Transfers, shard_of: str | None) -> None:
        self._transfers = transfers
        self._shard_of = shard_of
        self.sent_bytes = 0

    def add(self, count: int) -> None:
        """Count bytes that went out."""
        self.sent_bytes += count
        self._transfers.sent_bytes += count
        if self._shard_of:
            self._transfers.readers.reads(self._shard_of)


class Transfers:
    """All bodies that are being sent; belongs to the event loop."""

    def __init__(self, downloads: DownloadLog, senders: Senders, counters: Counters) -> None:
        self._downloads = downloads
        self._counters = counters
        self._fetching = Fetching()
        self.senders = senders
        self.readers = Readers(downloads.read)
        self._tasks: set[asyncio.Task[object]] = set()
        self.sent_bytes = 0
        """Since the start."""

    @property
    def under_way(self) -> int:
        """How many there are just now."""
        return len(self._tasks)

    @contextmanager
    def begun(
        self, archive_of: str | None, shard_of: str | None, client: str, start: int
    ) -> Iterator[Transfer]:
        """Count a transfer of the current task to a client's address.

        With the content key `archive_of` it is logged as a download, or as a piece of one where
        `start`, its first byte, is not the archive's; with `shard_of` it is noted, for as long as
        bytes go out, that somebody reads that build's archive.
        """
        task = asyncio.current_task()
        assert task is not None
        transfer = Transfer(self, shard_of)
        logged = self._fetching.download(archive_of, client, start) if archive_of else None
        if logged:
            self._downloads.begin(logged)
        self._tasks.add(task)
        outcome = "broken"
        try:
            yield transfer
            outcome = "sent"
        finally:
            self._tasks.discard(task)
            if logged:
                self._counters.add(counted.DOWNLOADS, 1, outcome)
                self._downloads.end(logged, transfer.sent_bytes)

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
