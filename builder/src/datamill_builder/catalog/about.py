"""What log lines name: for whom something is done to a build."""

from __future__ import annotations

from sqlalchemy import Connection

from datamill.logs import About
from datamill_builder.catalog.engine import Catalog
from datamill_builder.catalog.errors import CatalogUnavailable
from datamill_builder.catalog.lifecycle.find import asked_by
from datamill_builder.catalog.states import TaskKind


def about_build(catalog: Catalog, content_key: str) -> About:
    """Return what names a build: the first who asked for it, where that can be told."""
    try:
        with catalog.read() as connection:
            return build_named(connection, content_key)
    except CatalogUnavailable:  # that is said of the work itself
        return About(None, content_key)


def about_task(catalog: Catalog, kind: TaskKind, subject: str) -> About:
    """Return what names that which a task is for."""
    return About(subject) if kind is TaskKind.RESOLVE else about_build(catalog, subject)


def build_named(connection: Connection, content_key: str) -> About:
    """Return what names a build."""
    first = asked_by(connection, content_key)
    return About(first.dataset_id if first else None, content_key)
