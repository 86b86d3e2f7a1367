"""Calls that nobody will make, and those that nobody will look at any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog, hook_calls

log = logging.getLogger(__name__)

_EVERY_SECS = 600.0
UNKNOWN_SECS = 2 * 24 * 3600.0
"""So long a call waits for a builder that has its hook in the settings."""
KEPT_SECS = 30 * 24 * 3600.0
"""So long calls are kept that have ended."""


class HookHousekeeper(threading.Thread):
    """Tidies the catalog's calls of hooks every ten minutes."""

    def __init__(self, catalog: Catalog, names: Collection[str]) -> None:
        super().__init__(name="hook calls", daemon=True)
        self._catalog = catalog
        self._names = names
        self._stopping = threading.Event()

    def run(self) -> None:
        """Tidy until stopped."""
        while not self._stopping.wait(_EVERY_SECS):
            try:
                self._tidy()
            except DatamillError as error:
                log.warning("the calls of hooks were not tidied: %s", error)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _tidy(self) -> None:
        with self._catalog.write() as change:
            hook_calls.give_up_unknown(change, self._names, UNKNOWN_SECS)
            hook_calls.forget_old(change, KEPT_SECS)
