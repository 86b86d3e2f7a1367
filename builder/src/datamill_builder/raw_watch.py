"""A full look, now and then, at raw data that is asked for, where a glance can't see everything."""

from __future__ import annotations

import logging
import threading
import time

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.raw import unchanged_in_full

log = logging.getLogger(__name__)

LOOK_EVERY_SECS = 60.0
"""The same raw data is looked at in full at most so often."""

_TURN_SECS = 1.0


class RawWatch(threading.Thread):
    """Looks at every file of raw data that was just answered for; forgets marks that don't hold.

    A dataset without marks is resolved anew when it is asked for the next time.
    """

    def __init__(self, catalog: Catalog, every_secs: float = LOOK_EVERY_SECS) -> None:
        super().__init__(name="raw watch", daemon=True)
        self._catalog = catalog
        self._every_secs = every_secs
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._looked_at: dict[str, float] = {}
        self._stopping = threading.Event()

    def look_at(self, marks: str) -> None:
        """Have the raw data of these marks looked at soon; returns at once, from any thread."""
        with self._lock:
            self._asked.add(marks)

    def run(self) -> None:
        """Look until stopped."""
        while not self._stopping.wait(_TURN_SECS):
            for marks in self._due():
                try:
                    self._look(marks)
                except (DatamillError, OSError) as error:
                    log.warning("raw data could not be looked at: %s", error)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _due(self) -> list[str]:
        now = time.monotonic()
        with self._lock:
            asked, self._asked = self._asked, set()
        fresh = {m: at for m, at in self._looked_at.items() if now - at < self._every_secs}
        due = [marks for marks in asked if marks not in fresh]
        self._looked_at = fresh | dict.fromkeys(due, now)
        return due

    def _look(self, marks: str) -> None:
        if unchanged_in_full(marks):
            return
        log.info("raw data has changed; what was made from it is made anew when it is asked for")
        with self._catalog.write() as change:
            lifecycle.forget_marks(change, marks)
