"""`/openapi.json`: the HTTP interface, described for programs."""

from __future__ import annotations

from aiohttp import web

from datamill_notifier.openapi.document import description
from datamill_notifier.service import service_of

routes = web.RouteTableDef()


@routes.get("/openapi.json")
async def get_description(request: web.Request) -> web.Response:
    """Answer with the description."""
    return web.json_response(description(service_of(request).public_url))
