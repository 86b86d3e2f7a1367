"""Whether the catalog would take a change: what can be read may still be locked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from datamill.errors import SettingsError, first_line
from datamill_builder.catalog import schema
from datamill_builder.catalog.errors import CatalogUnavailable

_CONNECT_SECS = 5
_VERSION = select(schema.meta.c.value).where(schema.meta.c.key == "schema_version")


def takes_changes(engine: Engine, within_secs: float) -> bool:
    """Try to begin a change, and leave it at that; False if it is not one's turn in that time."""
    try:
        if engine.dialect.name == "sqlite":
            _begin(str(engine.url.database), within_secs)
        else:
            with engine.connect() as connection:
                _lock_a_row(connection, within_secs)
    except (sqlite3.Error, SQLAlchemyError):
        return False
    return True


def _begin(path: str, within_secs: float) -> None:
    # A connection of its own, with a patience of its own; one that makes no file.
    address = f"{Path(path).absolute().as_uri()}?mode=rw"
    with closing(
        sqlite3.connect(address, uri=True, timeout=within_secs, isolation_level=None)
    ) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("SELECT 1 FROM meta")
        database.execute("ROLLBACK")


def _lock_a_row(connection: Connection, within_secs: float) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = {round(1000 * within_secs)}"))
    connection.execute(_VERSION.with_for_update(read=True))
    connection.rollback()


def schema_version(url: str) -> int | None:
    """Return the schema that a catalog is of; None where there is none. Makes and changes nothing.

    Raises `CatalogUnavailable`, or `SettingsError` for an address that can't be one.
    """
    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            return _of_file(Path(str(address.database)))
        engine = create_engine(address, connect_args={"connect_timeout": _CONNECT_SECS})
    except (ArgumentError, ModuleNotFoundError) as error:
        raise SettingsError(f"DATAMILL_CATALOG_URL can't be used: {first_line(error)}") from error
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(schema.meta.name):
                return None
            return _number(connection.scalar(_VERSION))
    except SQLAlchemyError as error:
        why = first_line(getattr(error, "orig", None) or error)
        raise CatalogUnavailable(f"the catalog can't be used just now: {why}") from error
    finally:
        engine.dispose()


def _of_file(path: Path) -> int | None:
    if not path.exists():
        return None
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_CONNECT_SECS)) as database:
            found = database.execute("SELECT value FROM meta WHERE key = 'schema_version'")
            row = found.fetchone()
    except sqlite3.Error as error:
        raise CatalogUnavailable(f"{path} can't be read: {error}") from error
    return _number(row[0] if row else None)


def _number(value: str | None) -> int | None:
    return int(value) if value and value.isdecimal() else None
