"""`/metrics`: numbers in Prometheus' text format 0.0.4, or in OpenMetrics for who asks for it."""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

REGISTRY = web.AppKey("registry", CollectorRegistry)

routes = web.RouteTableDef()


@routes.get("/metrics")
async def get_metrics(request: web.Request) -> web.Response:
    """Answer with all numbers as of now."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = await asyncio.to_thread(encode, request.app[REGISTRY])
    return web.Response(body=body, headers={"Content-Type": content_type})
