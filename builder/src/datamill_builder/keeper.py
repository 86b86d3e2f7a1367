"""The keeper: brings the store under its budget now and then, and deletes what others evicted.

After packing there is a look, too; but an archive that could not go then may go an hour later.
"""

from __future__ import annotations

import logging
import threading

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.holdings import drop_stray_archives, make_room
from datamill_builder.store import Store

log = logging.getLogger(__name__)

PERIOD_SECS = 60.0


class Keeper(threading.Thread):
    """Looks every `period_secs`."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        budget_bytes: int | None,
        period_secs: float = PERIOD_SECS,
    ) -> None:
        super().__init__(name="keeper", daemon=True)
        self._catalog = catalog
        self._store = store
        self._budget_bytes = budget_bytes
        self._period_secs = period_secs
        self._over_bytes = 0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        while not self._stopping.wait(self._period_secs):
            try:
                self._look()
            except (DatamillError, OSError) as error:
                log.warning("the store could not be looked after: %s", error)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _look(self) -> None:
        # A notifier may evict, too, where it may not delete.
        drop_stray_archives(self._catalog, self._store)
        room = make_room(self._catalog, self._store, self._budget_bytes)
        if room.over_bytes and room.over_bytes != self._over_bytes:
            log.warning(
                "the store is %d bytes over its budget, and nothing may go yet: `datamill gc "
                "--dry-run` says why",
                room.over_bytes,
            )
        self._over_bytes = room.over_bytes
