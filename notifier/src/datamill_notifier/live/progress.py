"""How far builds are, as events said last: the catalog knows finished shards only."""

from __future__ import annotations

import time

from datamill.events import Event, Progress

_GOOD_SECS = 10.0
"""Events come every second while a build is worked on."""
_MOST = 1000


class LatestProgress:
    """The last progress event of each dataset; for any thread."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[Progress, float]] = {}

    def note(self, event: Event) -> None:
        """Take in an event of any kind."""
        if isinstance(event, Progress):
            if len(self._latest) >= _MOST:
                self._latest.clear()
            self._latest[event.dataset_id] = event, time.monotonic()
        elif event.final:
            self._latest.pop(event.dataset_id, None)

    def of(self, dataset_id: str) -> Progress | None:
        """Return the last one of a dataset; None where it is not from just now."""
        found = self._latest.get(dataset_id)
        if found is None or time.monotonic() - found[1] > _GOOD_SECS:
            return None
        return found[0]
