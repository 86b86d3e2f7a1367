"""`GET /ids/<first characters>`: what an abbreviated id may stand for."""

from __future__ import annotations

import asyncio
import re

from aiohttp import web

from datamill_builder.catalog.ids import contents_that_begin, datasets_that_begin
from datamill_notifier.documents import Document
from datamill_notifier.problems import invalid
from datamill_notifier.service import Service, service_of

MOST = 100
"""So many are told of each kind: who finds more than one has to give more characters."""

_PREFIX = re.compile(r"[0-9a-f]{1,64}\Z", re.ASCII)

routes = web.RouteTableDef()


@routes.get("/ids/{prefix}")
async def get_ids(request: web.Request) -> web.Response:
    """Answer with the dataset ids and content keys that begin so."""
    prefix = request.match_info["prefix"]
    if not _PREFIX.match(prefix):
        raise invalid(f"{prefix[:80]!r}: ids begin with 1 to 64 lower-case hexadecimal digits")
    found = await asyncio.to_thread(_found, service_of(request), prefix)
    return web.json_response(found, headers={"Cache-Control": "no-store"})


def _found(service: Service, prefix: str) -> Document:
    with service.catalog.read() as connection:
        ids = datasets_that_begin(connection, prefix, MOST)
        contents = contents_that_begin(connection, prefix, MOST)
    return {
        "datasets": [{"dataset_id": each, "content_key": key} for each, key in ids.items()],
        "contents": [
            {"content_key": key, "dataset_ids": list(names)} for key, names in contents.items()
        ],
    }
