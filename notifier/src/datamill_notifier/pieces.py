"""What one client takes of one archive is one download, in however many pieces.

Over a long link clients ask for ranges, several at once; who was cut off asks for the rest. What
begins with the first byte begins a download. What begins behind it goes on with the last one of
the same client and archive, as long as that is under way or ended not long ago; if there is none
it is a download, too. A client is known by its address: where several are behind one, what each
of them takes begins with the first byte all the same, and the bytes of all are counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from datamill_builder.catalog.counters import Counters
from datamill_notifier import counted
from datamill_notifier.download_log import DownloadLog, LoggedDownload

GOES_ON_SECS = 600.0
"""Who asks for more of an archive within this time goes on with a download."""

_NOTED_SECS = 30.0
"""So often it is written down how far a download is: what is lost if the notifier is killed."""


@dataclass(eq=False)
class Download:
    """One download. `pieces`: how many answers are under way; times are of a monotonic clock."""

    logged: LoggedDownload
    noted_at: float
    ended_at: float = 0.0
    pieces: int = 0


class Downloads:
    """All downloads that are under way, or may go on; belongs to the event loop."""

    def __init__(self, log: DownloadLog, counters: Counters) -> None:
        self._log = log
        self._counters = counters
        self._last: dict[tuple[str, str | None], Download] = {}
        """By content key and client."""
        self._swept_at = time.monotonic()
        self.under_way = 0
        """How many there are just now."""

    def begin_piece(self, content_key: str, client: str | None, start: int) -> Download:
        """Return the download that an answer belongs to which begins at a byte."""
        self._sweep()
        named = (content_key, client)
        download = self._last.get(named) if start else None
        if download is None or _is_over(download):
            download = Download(LoggedDownload(content_key), noted_at=time.monotonic())
            self._last[named] = download
            self._counters.add(counted.DOWNLOADS)
            self._log.begin(download.logged)
        elif not download.pieces:
            self._log.go_on(download.logged)
        self.under_way += not download.pieces
        download.pieces += 1
        return download

    def sent(self, download: Download, count: int) -> None:
        """Count bytes that went out."""
        download.logged.sent_bytes += count
        if time.monotonic() - download.noted_at > _NOTED_SECS:
            download.noted_at = time.monotonic()
            self._log.go_on(download.logged)

    def end_piece(self, download: Download) -> None:
        """Note that an answer has ended; without another one, so has its download, for now."""
        download.pieces -= 1
        if not download.pieces:
            self.under_way -= 1
            download.ended_at = time.monotonic()
            self._log.end(download.logged, download.logged.sent_bytes)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at > GOES_ON_SECS:
            self._swept_at = time.monotonic()
            self._last = {name: each for name, each in self._last.items() if not _is_over(each)}


def _is_over(download: Download) -> bool:
    return not download.pieces and time.monotonic() - download.ended_at > GOES_ON_SECS
