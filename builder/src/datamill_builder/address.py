"""The notifier's address, as events carry it."""

from __future__ import annotations

import time

from datamill_builder.catalog import Catalog, lifecycle

_FRESH_SECS = 2.0


class PublicAddress:
    """The configured address, or else the one that the notifier wrote into the catalog."""

    def __init__(self, catalog: Catalog, configured: str | None) -> None:
        self._catalog = catalog
        self._configured = configured
        self._found = ""
        self._read_at = float("-inf")

    def __call__(self) -> str:
        """Return the address without a slash at its end; empty while no notifier ever ran."""
        if self._configured:
            return self._configured
        if time.monotonic() - self._read_at > _FRESH_SECS:
            with self._catalog.read() as connection:
                self._found = lifecycle.public_url(connection) or ""
            self._read_at = time.monotonic()
        return self._found
