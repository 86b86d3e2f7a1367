"""Finished datasets that are near to one that is asked for: what a trainer may have meant."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from aiohttp import web

from datamill.request import Request
from datamill_builder.catalog import Catalog, CatalogUnavailable
from datamill_builder.catalog.differences import Difference, Side, near_text, nearest
from datamill_builder.catalog.sides import find_side, finished_sides, side_of

_KEPT_SECS = 30.0
"""Who waits asks every few seconds; what is near does not change so quickly."""
_MOST_KEPT = 1000
_PATIENCE_SECS = 1.0

Document = dict[str, Any]


class Near:
    """Looks for what is near; for any thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Document | None]] = {}

    def to_request(self, request: Request) -> Document | None:
        """Return what is near to a request; None where its own archive is there. Blocks."""
        with self._catalog.read() as connection:
            asked = side_of(connection, request)
        return None if asked.ready else self._remembered(asked)

    def to_unfinished(self, dataset_id: str) -> Document | None:
        """Return what is near to a dataset id that was asked for and is not ready. Blocks."""
        with self._lock:
            until, found = self._kept.get(dataset_id, (0.0, None))
        if time.monotonic() < until:
            return found
        with self._catalog.read() as connection:
            asked = find_side(connection, dataset_id)
        return None if asked is None else self._remembered(asked)

    async def hint(self, request: Request) -> Document | None:
        """Return what is near to a request, if that can be told soon: nobody waits for it."""
        looking = asyncio.to_thread(self.to_request, request)
        try:
            return await asyncio.wait_for(looking, _PATIENCE_SECS)
        except (CatalogUnavailable, TimeoutError):
            return None

    def _remembered(self, asked: Side) -> Document | None:
        assert asked.dataset_id is not None
        with self._catalog.read() as connection:
            finished = finished_sides(connection, asked.dataset_name)
        near = nearest(asked, finished)
        found = None if near is None else _document(*near)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[asked.dataset_id] = time.monotonic() + _KEPT_SECS, found
        return found


NEAR = web.AppKey("near", Near)


def near_of(request: web.Request) -> Near:
    """Return who looks for what is near."""
    return request.app[NEAR]


def _document(side: Side, differences: list[Difference]) -> Document:
    assert side.dataset_id is not None
    return {
        "dataset_id": side.dataset_id,
        "handler_version": side.handler_version,
        "dataset_config": dict(side.config),
        "differences": [difference.document() for difference in differences],
        "text": near_text(side.dataset_id, differences),
    }
