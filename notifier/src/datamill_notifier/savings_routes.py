"""`GET /savings`: what sharing saved, in all."""

from __future__ import annotations

import asyncio

from aiohttp import web

from datamill_notifier import documents
from datamill_notifier.service import service_of

routes = web.RouteTableDef()


@routes.get("/savings")
async def get_savings(request: web.Request) -> web.Response:
    """Answer with the totals; they may be some seconds old."""
    totals = await asyncio.to_thread(service_of(request).live.totals.get)
    headers = {"Cache-Control": "no-store"}
    return web.json_response(documents.saving(totals.saving), headers=headers)
