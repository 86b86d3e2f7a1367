"""`/`: the live page."""

from __future__ import annotations

import asyncio

from aiohttp import web

from datamill_notifier import looking
from datamill_notifier.page import CONTENT_SECURITY_POLICY, render
from datamill_notifier.service import Service, service_of

_SHOWN = 100

routes = web.RouteTableDef()


@routes.get("/")
async def get_page(request: web.Request) -> web.Response:
    """Answer with the page as of now."""
    text = await asyncio.to_thread(_page, service_of(request))
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/html", headers=headers)


def _page(service: Service) -> str:
    found = looking.newest(service, None, None, _SHOWN)
    return render(found, broker_connected=service.broker_connected())
