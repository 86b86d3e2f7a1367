"""Whoever is told by a state that an archive is there may be on the way to it: that is noted.

Answers to requests are in the catalog anyway. States are asked for far more often: a dataset is
noted once a minute at most, and nobody who looks waits for the catalog.
"""

from __future__ import annotations

import logging
import time

from datamill_builder.catalog import Catalog, CatalogUnavailable, lifecycle
from datamill_notifier.batch_writer import BatchWriter
from datamill_notifier.once_a_minute import MINUTE_SECS, OnceAMinute

log = logging.getLogger(__name__)


class ToldLog(BatchWriter[str]):
    """Notes dataset ids of which somebody was told, for all who are told until the next note."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__("told log")
        self._catalog = catalog
        self._noted = OnceAMinute()

    def note(self, dataset_id: str) -> None:
        """Tell that somebody is told that a dataset is ready; for any thread."""
        if self._noted.is_due(dataset_id):
            self.tell(dataset_id)

    def write(self, batch: list[str]) -> None:
        """Write that these were told until the next note."""
        if not batch:
            return
        try:
            with self._catalog.write() as change:
                lifecycle.told_ready(change, batch, time.time() + MINUTE_SECS)
        except CatalogUnavailable as error:
            log.warning("who was told of %d datasets is not noted: %s", len(batch), error)
            for dataset_id in batch:
                self._noted.forget(dataset_id)
