"""What happens many times a second and is worth a note in the catalog once a minute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

MINUTE_SECS = 60.0
_MOST_KNOWN = 4096


class OnceAMinute:
    """Knows what was noted within the last minute, by content keys or dataset ids."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted_at: dict[str, float] = {}

    def is_due(self, key: str) -> bool:
        """Return whether it is to be noted now; it counts as noted then."""
        now = self._clock()
        if now - self._noted_at.get(key, -math.inf) < MINUTE_SECS:
            return False
        if len(self._noted_at) >= _MOST_KNOWN:
            self._noted_at.clear()
        self._noted_at[key] = now
        return True

    def forget(self, key: str) -> None:
        """Have it noted the next time: this time it could not be."""
        self._noted_at.pop(key, None)
