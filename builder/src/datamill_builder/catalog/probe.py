"""Whether the catalog would take a change: what can be read may still be locked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from datamill_builder.catalog import schema


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
    query = select(schema.meta.c.value).where(schema.meta.c.key == "schema_version")
    connection.execute(query.with_for_update(read=True))
    connection.rollback()
