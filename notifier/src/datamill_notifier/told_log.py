"""Whoever is told by a state that an archive is there may be on the way to it: that is noted.

Answers to requests are in the catalog anyway. States are asked for far more often: a dataset is
noted once a minute at most, and nobody who looks waits for the catalog.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time

from datamill_builder.catalog import Catalog, CatalogUnavailable, lifecycle

log = logging.getLogger(__name__)

_EACH_SECS = 60.0
"""A dataset is noted so often at most, each time for all who are told until the next one."""
_MOST_KNOWN = 4096


class ToldLog(threading.Thread):
    """Writes what it is told in one transaction, and what came meanwhile in the next."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(name="told log", daemon=True)
        self._catalog = catalog
        self._noted: dict[str, float] = {}
        """When each dataset id was noted last, by a monotonic clock."""
        self._told: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def note(self, dataset_id: str) -> None:
        """Tell that somebody is told that a dataset is ready; for any thread."""
        now = time.monotonic()
        if now - self._noted.get(dataset_id, -math.inf) < _EACH_SECS:
            return
        if len(self._noted) >= _MOST_KNOWN:
            self._noted.clear()
        self._noted[dataset_id] = now
        self._told.put(dataset_id)

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
            self._write([dataset_id for dataset_id in batch if dataset_id is not None])

    def _write(self, dataset_ids: list[str]) -> None:
        if not dataset_ids:
            return
        try:
            with self._catalog.write() as change:
                lifecycle.told_ready(change, dataset_ids, time.time() + _EACH_SECS)
        except CatalogUnavailable as error:
            log.warning("who was told of %d datasets is not noted: %s", len(dataset_ids), error)
            for dataset_id in dataset_ids:
                self._noted.pop(dataset_id, None)  # noted when the next one looks
