"""Who reads a dataset shard by shard: it stays in the store for them, as for a download.

A shard takes no row in the log of downloads, which would count it as one; and no change of the
catalog either, for a training may fetch many a second. That a build is read is noted once a minute.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

NOTED_EVERY_SECS = 60.0
"""So late, at most, the catalog knows that a build is read."""

_MOST_KNOWN = 1000


class Readers:
    """Has it noted that builds are read; belongs to the event loop."""

    def __init__(
        self, note: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`note` is given content keys. It must not block."""
        self._note = note
        self._clock = clock
        self._noted_at: dict[str, float] = {}

    def reads(self, content_key: str) -> None:
        """Tell that a shard of a build is being fetched; as often as one likes."""
        now = self._clock()
        if now - self._noted_at.get(content_key, -math.inf) < NOTED_EVERY_SECS:
            return
        if len(self._noted_at) >= _MOST_KNOWN:
            self._noted_at.clear()
        self._noted_at[content_key] = now
        self._note(content_key)
