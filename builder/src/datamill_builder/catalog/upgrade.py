"""Making the catalog's tables, and bringing those of an older Datamill to today's schema.

A step only adds, so that parts of the version before that still run can go on meanwhile. What was
there before the first step is kept beside it: whoever wants to go back has what to go back to.
"""

from __future__ import annotations

import errno
import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, func, insert, inspect, select, text, update
from sqlalchemy.exc import ProgrammingError

from datamill.errors import DatamillError, SettingsError, first_line
from datamill_builder.catalog import schema
from datamill_builder.catalog.errors import (
    CatalogFull,
    CatalogTooNew,
    CatalogUnavailable,
    primary_code,
)
from datamill_builder.store import sync

log = logging.getLogger(__name__)

_FIRST = 1
_MAKING = 0x0DA7A3111
"""The number of the PostgreSQL lock that whoever makes the tables holds."""


def prepare(engine: Engine) -> None:
    """Make the tables where there are none, upgrade those of an older version; all or nothing.

    Raises `CatalogTooNew`, and `SettingsError` where no backup may be written.
    """
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:  # changes wait in line
            if _version(connection) is None:
                _make(connection)
            _catch_up(connection)
        return
    with engine.begin() as connection:
        if _version(connection) is None:
            connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
            if _version(connection) is None:  # still, and nobody else is about to
                _make(connection)
    with engine.connect() as connection:
        behind = _version(connection) != schema.SCHEMA_VERSION
    if not behind:
        return
    log.info("the catalog is of another schema than %d", schema.SCHEMA_VERSION)
    moment = engine.connect().execution_options(isolation_level="REPEATABLE READ")
    with moment as connection, connection.begin():
        # The first one to get this lock upgrades. Taken before the first look, which is what all
        # others in this change see: so whoever comes later sees that it was done.
        connection.execute(text("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE"))
        _catch_up(connection)


def _make(connection: Connection) -> None:
    schema.metadata.create_all(connection)
    row = {"key": "schema_version", "value": str(schema.SCHEMA_VERSION)}
    connection.execute(insert(schema.meta), row)


def _catch_up(connection: Connection) -> None:
    found = _version(connection)
    assert found is not None
    if found > schema.SCHEMA_VERSION:
        raise CatalogTooNew
    if found < schema.SCHEMA_VERSION:
        _upgrade(connection, found)


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema.meta.name):
        return None
    value = schema.meta.c.value
    query = select(value).where(schema.meta.c.key == "schema_version")
    found = connection.execute(query).scalar()
    if found is None:
        return None
    if not found.isdecimal() or int(found) < _FIRST:
        raise SettingsError(f"the catalog is of schema {found!r}, which is none of Datamill's")
    return int(found)


def _upgrade(connection: Connection, found: int) -> None:
    steps = [_STEPS[version] for version in range(found + 1, schema.SCHEMA_VERSION + 1)]
    try:
        kept = _BACKUPS[connection.dialect.name](connection, found)
    except (OSError, sqlite3.Error, ProgrammingError) as error:
        raise _not_kept(error)(
            f"the catalog has to be upgraded from schema {found} to {schema.SCHEMA_VERSION}, and "
            f"its backup can't be written: {first_line(getattr(error, 'orig', error))}"
        ) from error
    for step in steps:
        step(connection)
    connection.execute(
        update(schema.meta)
        .where(schema.meta.c.key == "schema_version")
        .values(value=str(schema.SCHEMA_VERSION))
    )
    log.warning(
        "the catalog was of schema %d and is now of %d; as it was, it is kept as %s",
        found,
        schema.SCHEMA_VERSION,
        kept,
    )


def _not_kept(error: Exception) -> type[DatamillError]:
    """Return what trying again may help against, and what not."""
    if isinstance(error, OSError):
        return CatalogFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else SettingsError
    if isinstance(error, sqlite3.Error):
        code = primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return CatalogFull
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return CatalogUnavailable
    return SettingsError


# --- backups --------------------------------------------------------------------------------------


def _keep_file(connection: Connection, version: int) -> str:
    """Copy the database's file to one beside it, whole or not at all; return its path."""
    path = Path(str(connection.engine.url.database))
    kept = path.with_name(f"{path.name}.schema-{version}")
    part = kept.with_name(f"{kept.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    try:
        # A second connection reads what is committed: nobody can commit more while ours is open.
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        shutil.copymode(path, part)
        sync(part)
        part.replace(kept)
        sync(kept.parent)
    finally:
        part.unlink(missing_ok=True)
    return str(kept)


def _keep_schema(connection: Connection, version: int) -> str:
    """Copy the tables into a PostgreSQL schema of the same database; return its name."""
    kept = f"datamill_schema_{version}"
    there = inspect(connection).get_table_names()
    connection.execute(text(f"DROP SCHEMA IF EXISTS {kept} CASCADE"))
    connection.execute(text(f"CREATE SCHEMA {kept}"))
    tables = [name for name in schema.metadata.tables if name in there]
    for name in tables:
        connection.execute(text(f"CREATE TABLE {kept}.{name} (LIKE {name} INCLUDING ALL)"))
        connection.execute(text(f"INSERT INTO {kept}.{name} TABLE {name}"))
    return f"schema {kept}"


_BACKUPS: dict[str, Callable[[Connection, int], str]] = {
    "sqlite": _keep_file,
    "postgresql": _keep_schema,
}


# --- steps ----------------------------------------------------------------------------------------


def _note_scrubbing_and_turns(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE builds ADD COLUMN scrubbed_at FLOAT"))
    connection.execute(text("ALTER TABLE builds ADD COLUMN turn BIGINT"))


def _note_operation(connection: Connection) -> None:
    for table, column in (
        ("requests", "client VARCHAR(128)"),
        ("datasets", "trace VARCHAR(255)"),
        ("datasets", "meant VARCHAR(64)"),
        ("builds", "pinned_at FLOAT"),
        ("builds", "read_at FLOAT"),
        ("builds", "told_at FLOAT"),
        ("outbox", "headers TEXT"),
        ("downloads", "server VARCHAR(64)"),
    ):
        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column}"))
    new = (schema.raw_versions, schema.builders, schema.counters, schema.hook_calls)
    schema.metadata.create_all(connection, tables=new)


_STEPS: dict[int, Callable[[Connection], None]] = {
    2: _note_scrubbing_and_turns,
    3: _note_operation,
}
"""What leads to each version from the one before."""
