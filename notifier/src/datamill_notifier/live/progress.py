"""How far builds are, as events said last: the catalog knows finished shards only."""

from __future__ import annotations

import time

from datamill.events import Progress, decode_event

_GOOD_SECS = 10.0
"""Events come every second while a build is worked on."""
_MOST = 1000


class LatestProgress:
    """The last progress event of each dataset; for any thread."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[str, float]] = {}

    def note(self, kind: str, dataset_id: str, body: str) -> None:
        """Take in an event of any kind."""
        if kind == "progress":
            if len(self._latest) >= _MOST:
                self._latest.clear()
            self._latest[dataset_id] = body, time.monotonic()
        elif kind in ("ready", "failed"):
            self._latest.pop(dataset_id, None)

    def of(self, dataset_id: str) -> Progress | None:
        """Return the last one of a dataset; None where it is not from just now."""
        found = self._latest.get(dataset_id)
        if found is None or time.monotonic() - found[1] > _GOOD_SECS:
            return None
        event = decode_event(found[0])
        return event if isinstance(event, Progress) else None
