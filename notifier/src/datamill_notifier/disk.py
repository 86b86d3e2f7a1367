"""Whether there is room on the disks that builders write to."""

from __future__ import annotations

from pathlib import Path

from datamill_builder.catalog import CatalogUnavailable, views
from datamill_builder.store import free_bytes
from datamill_notifier.service import Service

LEAST_FREE_BYTES = 1024 * 1024
"""With less room not even a request can be counted on to be taken."""


def trouble(service: Service) -> str | None:
    """Return why work has to wait for room on a disk; None where it does not. Blocks."""
    return _work_waits(service) or _disk_is_full(service)


def _work_waits(service: Service) -> str | None:
    try:
        with service.catalog.read() as connection:
            return views.waiting_for_space(connection)
    except CatalogUnavailable:
        return None  # said of the catalog, not of the disk


def _disk_is_full(service: Service) -> str | None:
    for name, folder in (("store", service.store.root), ("catalog", service.catalog.folder)):
        if folder is not None and _has_no_room(folder):
            return f"the disk of the {name} is full"
    return None


def _has_no_room(folder: Path) -> bool:
    try:
        return free_bytes(folder) < LEAST_FREE_BYTES
    except OSError:
        return False  # that it is gone is said of the store
