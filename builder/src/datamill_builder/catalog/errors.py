"""What may be wrong with the catalog's database."""

from __future__ import annotations

import sqlite3

from datamill.errors import ServiceUnavailable, SettingsError


class CatalogUnavailable(ServiceUnavailable):
    """The catalog's database can't be used just now."""


class CatalogFull(CatalogUnavailable):
    """The disk of the catalog's database is full."""


class CatalogTooNew(SettingsError):
    """The catalog was written by a newer Datamill: upgrade this one."""


def primary_code(error: sqlite3.Error) -> int:
    """Return which of SQLite's result codes an error is; 0 where it has none."""
    # The low byte is the code, the others say more about it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
