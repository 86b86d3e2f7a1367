"""Inserting a row only where it is new, on each database in its own words."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless one with its key is there; return whether it was inserted."""
    statement = _insert_new(connection.dialect.name, table)
    return connection.execute(statement, row).first() is not None


def insert_all_new(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    """Insert those rows whose keys are not there yet; return how many were inserted."""
    statement = _insert_new(connection.dialect.name, table)
    return len(connection.execute(statement, rows).all())


@lru_cache(maxsize=100)
def _insert_new(dialect: str, table: Table) -> Executable:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    # Not by the row count: PostgreSQL's driver does not know it for such statements.
    return insert(table).on_conflict_do_nothing().returning(*table.primary_key)


def upsert(
    connection: Connection,
    table: Table,
    rows: list[dict[str, Any]],
    keys: list[str],
    added_up: Collection[str] = (),
) -> None:
    """Insert rows, or bring those with their keys up to date; all have the same columns.

    `added_up`: columns whose value is added to what is there.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    changed = {
        name: table.c[name] + new if name in added_up else new
        for name, new in statement.excluded.items()
        if name in rows[0] and name not in keys
    }
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)
