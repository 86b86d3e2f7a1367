"""Changes that several steps make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from datamill.events import Event
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.find import (
    aliases,
)
from datamill_builder.catalog.outbox import tell
from datamill_builder.catalog.schema import builds, datasets


def nobody_waits(change: Transaction, content_key: str) -> None:
    """Count nobody as waiting for a build: all were told."""
    change.connection.execute(
        update(datasets).where(datasets.c.content_key == content_key).values(waiting=0)
    )


def set_build(change: Transaction, content_key: str, **values: Any) -> None:
    """Change columns of a build."""
    change.connection.execute(
        update(builds).where(builds.c.content_key == content_key).values(**values)
    )


def tell_all(change: Transaction, content_key: str, event: Callable[[str], Event]) -> None:
    """Tell an event, made per dataset id, to all ids that mean a build."""
    for dataset_id in aliases(change.connection, content_key):
        tell(change, event(dataset_id))
