"""`GET /overview`: the service as a whole, as JSON; what `datamill top` shows."""

from __future__ import annotations

import asyncio

from aiohttp import web

from datamill_notifier.overview import overview
from datamill_notifier.service import service_of

routes = web.RouteTableDef()


@routes.get("/overview")
async def get_overview(request: web.Request) -> web.Response:
    """Answer with what is built, what waits and why, what came of it, and who works."""
    found = await asyncio.to_thread(overview, service_of(request))
    return web.json_response(found, headers={"Cache-Control": "no-store"})
