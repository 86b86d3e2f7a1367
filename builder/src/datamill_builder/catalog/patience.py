"""Changes that wait for the catalog: what was worked out is not thrown away because it is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from datamill.broker import backoff
from datamill_builder.catalog.engine import Catalog, Transaction
from datamill_builder.catalog.errors import CatalogUnavailable

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class PatientChanges:
    """Makes changes, again and again where the catalog is away, locked or full; for any thread.

    A change may be made twice, if the answer to its commit was lost: fences see to that. A claim
    that was lost so is nobody's until its lease ends.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._stopping = threading.Event()

    def make(self, change_it: Callable[[Transaction], Result]) -> Result:
        """Make a change and return its result, after however long.

        Raises `CatalogUnavailable` once this is stopped, and at once what else goes wrong.
        """
        attempt = 0
        while True:
            try:
                with self._catalog.write() as change:
                    return change_it(change)
            except CatalogUnavailable as error:
                attempt += 1
                log.warning("a change waits: %s", error)
                if self._stopping.wait(backoff(attempt)):
                    raise

    def stop(self) -> None:
        """Wait no more."""
        self._stopping.set()
