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
_FINISHED_KEPT_SECS = 1.0
"""Reading them takes milliseconds: a crowd that asks for many is answered from one reading."""
_MOST_NAMES_KEPT = 20
_PATIENCE_SECS = 1.0

Document = dict[str, Any]


class Near:
    """Looks for what is near; for any thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Document | None]] = {}
        self._finished: dict[str, tuple[float, list[Side]]] = {}

    def to_request(self, request: Request) -> Document | None:
        """Return what is near to a request as of now; None where its archive is there. Blocks."""
        with self._catalog.read() as connection:
            asked = side_of(connection, request)
            finished = finished_sides(connection, asked.dataset_name)
        return None if asked.ready else _nearest(asked, finished)

    def to_unfinished(self, dataset_id: str) -> Document | None:
        """Return what is near to a dataset id that was asked for and is not ready. Blocks.

        Who waits asks for this again and again: it is answered from memory, most of the time.
        """
        with self._lock:
            until, found = self._kept.get(dataset_id, (0.0, None))
        if time.monotonic() < until:
            return found
        with self._catalog.read() as connection:
            asked = find_side(connection, dataset_id)
        return None if asked is None else self._look(asked)

    async def hint(self, request: Request) -> Document | None:
        """Return what is near to a request, if that can be told soon: nobody waits for it."""
        looking = asyncio.to_thread(self._hint, request)
        try:
            return await asyncio.wait_for(looking, _PATIENCE_SECS)
        except (CatalogUnavailable, TimeoutError):
            return None

    def _hint(self, request: Request) -> Document | None:
        with self._catalog.read() as connection:
            asked = side_of(connection, request)
        return None if asked.ready else self._look(asked)

    def _look(self, asked: Side) -> Document | None:
        assert asked.dataset_id is not None
        found = _nearest(asked, self._finished_of(asked.dataset_name))
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[asked.dataset_id] = time.monotonic() + _KEPT_SECS, found
        return found

    def _finished_of(self, dataset_name: str) -> list[Side]:
        with self._lock:
            until, sides = self._finished.get(dataset_name, (0.0, []))
        if time.monotonic() < until:
            return sides
        with self._catalog.read() as connection:
            sides = finished_sides(connection, dataset_name)
        with self._lock:
            if len(self._finished) >= _MOST_NAMES_KEPT:
                self._finished.clear()
            self._finished[dataset_name] = time.monotonic() + _FINISHED_KEPT_SECS, sides
        return sides


NEAR = web.AppKey("near", Near)


def near_of(request: web.Request) -> Near:
    """Return who looks for what is near."""
    return request.app[NEAR]


def _nearest(asked: Side, finished: list[Side]) -> Document | None:
    found = nearest(asked, finished)
    return None if found is None else _document(*found)


def _document(side: Side, differences: list[Difference]) -> Document:
    assert side.dataset_id is not None
    return {
        "dataset_id": side.dataset_id,
        "handler_version": side.handler_version,
        "dataset_config": dict(side.config),
        "differences": [difference.document() for difference in differences],
        "text": near_text(side.dataset_id, differences),
    }
