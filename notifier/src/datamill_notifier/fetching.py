"""Which requests are one download: clients fetch an archive in pieces, and go on where they were.

What begins at the first byte begins a download. What begins further on is a piece of the one that
the same address began last, if that is not long ago; behind a proxy, perhaps of somebody else's of
the same archive, which makes neither more of them nor other bytes in all.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from datamill_notifier.download_log import LoggedDownload

CONTINUED_WITHIN_SECS = 3600.0
"""What goes on later is a download of its own."""

_MOST_KNOWN = 1000


class Fetching:
    """The downloads that may go on; belongs to the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, LoggedDownload]] = {}
        """When somebody last asked for a piece, and of which download; the latest is the last."""

    def download(self, content_key: str, client: str, start: int) -> LoggedDownload:
        """Return the download that a request for the bytes from `start` on belongs to."""
        asked_at, known = self._known.pop((content_key, client), (0.0, None))
        now = self._clock()
        if known is None or start == 0 or now - asked_at > CONTINUED_WITHIN_SECS:
            known = LoggedDownload(content_key)
        self._known[content_key, client] = now, known
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known
