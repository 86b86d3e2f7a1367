"""A builder's sign of life, and what it has counted: for people who look after it."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import socket
import threading
import time

from datamill_builder.catalog import Catalog, CatalogUnavailable, builders, counted, counters
from datamill_builder.catalog.builders import SEEN_EVERY_SECS, Builder
from datamill_builder.catalog.counters import Counters

log = logging.getLogger(__name__)

PART = "builder"
"""All builders count together: their names are new with every start."""


class Heartbeat(threading.Thread):
    """Writes both every ten seconds and at the end, in one change."""

    def __init__(
        self,
        catalog: Catalog,
        name: str,
        workers: int,
        counters: Counters,
        every_secs: float = SEEN_EVERY_SECS,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._catalog = catalog
        self._counters = counters
        self._every_secs = every_secs
        version = importlib.metadata.version("datamill-builder")
        self._builder = Builder(name, socket.gethostname(), workers, version, time.time())
        self._cpu_secs = 0.0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Write until stopped."""
        while not self._stopping.is_set():
            self._write()
            self._stopping.wait(self._every_secs)
        self._write(stopped=True)

    def stop(self) -> None:
        """Write for the last time, and end."""
        self._stopping.set()

    def _write(self, *, stopped: bool = False) -> None:
        self._count_cpu()
        taken = self._counters.take()
        try:
            with self._catalog.write() as change:
                builders.seen(change, self._builder, stopped=stopped)
                counters.add(change, PART, taken)
        except CatalogUnavailable as error:
            self._counters.put_back(taken)
            log.warning("no sign of life could be written: %s", error)

    def _count_cpu(self) -> None:
        times = os.times()
        now = times.user + times.system + times.children_user + times.children_system
        self._counters.add(counted.BUILDER_CPU_SECS, now - self._cpu_secs)
        self._cpu_secs = now
