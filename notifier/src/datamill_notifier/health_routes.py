"""`/healthz`: alive; `/readyz`: able to serve."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

from datamill_notifier import disk
from datamill_notifier.service import Service, service_of

routes = web.RouteTableDef()

_PATIENCE_SECS = 2.0
"""Changes take milliseconds: who gets no turn in that time is locked out."""


@routes.get("/healthz")
async def get_health(_request: web.Request) -> web.Response:
    """Answer, which is all that is asked."""
    return web.json_response({"alive": True})


@routes.get("/readyz")
async def get_readiness(request: web.Request) -> web.Response:
    """Answer 200 where every part works, else 503; which do is said either way."""
    service = service_of(request)
    parts = {
        "catalog": await asyncio.to_thread(service.catalog.takes_changes, _PATIENCE_SECS),
        "store": await asyncio.to_thread(_store_is_there, service),
        "broker": service.broker_connected(),
    }
    full = await asyncio.to_thread(disk.trouble, service)
    parts["disk"] = full is None
    ready = all(parts.values())
    reason = {"reason": full} if full else {}
    return web.json_response({"ready": ready, **parts, **reason}, status=200 if ready else 503)


def _store_is_there(service: Service) -> bool:
    return os.access(service.store.archive_path("."), os.R_OK | os.X_OK)
