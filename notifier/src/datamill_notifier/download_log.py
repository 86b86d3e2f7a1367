"""Downloads go into the catalog, and what is read; nobody ever waits for the catalog for that."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field

from datamill_builder.catalog import Catalog, CatalogUnavailable, Transaction, downloads

log = logging.getLogger(__name__)


@dataclass(eq=False)
class LoggedDownload:
    """A download of an archive. Times are seconds since the epoch."""

    content_key: str
    started_at: float = field(default_factory=time.time)
    sent_bytes: int = 0
    ended_at: float | None = None
    row: downloads.Download | None = None


@dataclass(frozen=True)
class _Read:
    """That shards of a build are read, and when."""

    content_key: str
    at: float = field(default_factory=time.time)


class DownloadLog(threading.Thread):
    """Writes what it is told in one transaction, and what came meanwhile in the next.

    The event loop tells, this thread alone writes. What the catalog can't take is not written:
    the log is for people, and a download is worth more. But what has begun there has to end, or
    its archive would be kept for it: that is written with what comes next.
    """

    def __init__(self, catalog: Catalog, server: str) -> None:
        """`server`: what this notifier is called in the log."""
        super().__init__(name="download log", daemon=True)
        self._catalog = catalog
        self._server = server
        self._open: dict[LoggedDownload, None] = {}
        """Those whose end could not be written."""
        self._read_at: dict[str, float] = {}
        """When builds were read, by content key, as long as that is not written."""
        self._told: queue.SimpleQueue[LoggedDownload | _Read | None] = queue.SimpleQueue()

    def begin(self, download: LoggedDownload) -> None:
        """Tell that a download has begun."""
        self._told.put(download)

    def go_on(self, download: LoggedDownload) -> None:
        """Tell that a download is under way, be it again, and how far it is."""
        download.ended_at = None
        self._told.put(download)

    def end(self, download: LoggedDownload, sent_bytes: int) -> None:
        """Tell that a download has ended, after so many bytes."""
        download.sent_bytes = sent_bytes
        download.ended_at = time.time()
        self._told.put(download)

    def read(self, content_key: str) -> None:
        """Tell that shards of a build are read just now."""
        self._told.put(_Read(content_key))

    def stop(self) -> None:
        """Write what was told so far, and end."""
        self._told.put(None)

    def run(self) -> None:
        """Write until stopped."""
        stopping = False
        while not stopping:
            batch = [self._told.get()]
            while not self._told.empty():
                batch.append(self._told.get())
            stopping = None in batch
            self._read_at |= {t.content_key: t.at for t in batch if isinstance(t, _Read)}
            told = [t for t in batch if isinstance(t, LoggedDownload)]
            self._write(list(dict.fromkeys([*self._open, *told])))

    def _write(self, told: list[LoggedDownload]) -> None:
        if not told and not self._read_at:
            return
        try:
            with self._catalog.write() as change:
                rows = [d.row or self._begun(change, d) for d in told]
                known = [
                    (row, d.sent_bytes, d.ended_at)
                    for row, d in zip(rows, told, strict=True)
                    if d.sent_bytes or d.ended_at is not None
                ]
                downloads.end(change, known)
                downloads.read(change, self._read_at)
        except CatalogUnavailable as error:
            log.warning("%d downloads were not logged: %s", len(told), error)
            self._open = {d: None for d in told if d.row is not None and d.ended_at is not None}
            return
        self._open.clear()
        self._read_at.clear()
        for row, download in zip(rows, told, strict=True):
            download.row = row

    def _begun(self, change: Transaction, download: LoggedDownload) -> downloads.Download:
        begun_at = download.started_at
        return downloads.begin(change, download.content_key, begun_at, self._server)
