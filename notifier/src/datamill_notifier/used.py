"""How much each dataset of a list is used, and whether it is pinned."""

from __future__ import annotations

from typing import Any

from datamill_builder.catalog.fetched import Downloads, downloads_of, last_use
from datamill_builder.catalog.views import DatasetView
from datamill_notifier.documents import written_time
from datamill_notifier.service import Service

Document = dict[str, Any]


def usage_of(service: Service, views: list[DatasetView]) -> dict[str, Document]:
    """Return `downloads`, `downloaded_bytes`, `used_at` and `pinned_at` by dataset id. Blocks."""
    keys = {view.build.content_key for view in views if view.build}
    with service.catalog.read() as connection:
        downloaded = downloads_of(connection, keys)
    return {
        view.dataset_id: usage(
            view, downloaded.get(view.build.content_key if view.build else "", Downloads())
        )
        for view in views
    }


def usage(view: DatasetView, downloaded: Downloads) -> Document:
    """Return how much one dataset is used; downloads count for its content."""
    return {
        "downloads": downloaded.count,
        "downloaded_bytes": downloaded.sent_bytes,
        "used_at": written_time(last_use(view.dataset.asked_at, downloaded)),
        "pinned_at": written_time(view.build.pinned_at if view.build else None),
    }
