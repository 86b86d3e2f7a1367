"""Downloads go into the catalog, and what is read; nobody ever waits for the catalog for that."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from datamill_builder.catalog import Catalog, CatalogUnavailable, Transaction, downloads
from datamill_notifier.batch_writer import BatchWriter

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


class DownloadLog(BatchWriter["LoggedDownload | _Read"]):
    """Writes down downloads, and that builds are read.

    The event loop tells, this thread alone writes. What the catalog can't take is not written:
    the log is for people, and a download is worth more. But what has begun there has to end, or
    its archive would be kept for it: that is written with what comes next.
    """

    def __init__(self, catalog: Catalog, server: str) -> None:
        """`server`: what this notifier is called in the log."""
        super().__init__("download log")
        self._catalog = catalog
        self._server = server
        self._open: dict[LoggedDownload, None] = {}
        """Those whose end could not be written."""
        self._read_at: dict[str, float] = {}
        """When builds were read, by content key, as long as that is not written."""

    def begin(self, download: LoggedDownload) -> None:
        """Tell that a download has begun."""
        self.tell(download)

    def go_on(self, download: LoggedDownload) -> None:
        """Tell that a download is under way, be it again, and how far it is."""
        download.ended_at = None
        self.tell(download)

    def end(self, download: LoggedDownload, sent_bytes: int) -> None:
        """Tell that a download has ended, after so many bytes."""
        download.sent_bytes = sent_bytes
        download.ended_at = time.time()
        self.tell(download)

    def read(self, content_key: str) -> None:
        """Tell that shards of a build are read just now."""
        self.tell(_Read(content_key))

    def write(self, batch: list[LoggedDownload | _Read]) -> None:
        """Write these, and ends that could not be written before."""
        self._read_at |= {told.content_key: told.at for told in batch if isinstance(told, _Read)}
        begun_or_ended = [told for told in batch if isinstance(told, LoggedDownload)]
        self._write(list(dict.fromkeys([*self._open, *begun_or_ended])))

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
