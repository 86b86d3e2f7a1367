"""`GET /datasets/<id>/details`: everything about one dataset."""

from __future__ import annotations

import asyncio

from aiohttp import web

from datamill_notifier import dataset_states
from datamill_notifier.dataset_details import details
from datamill_notifier.problems import not_found
from datamill_notifier.service import service_of

routes = web.RouteTableDef()


@routes.get("/datasets/{dataset_id}/details")
async def get_details(request: web.Request) -> web.Response:
    """Answer with its state, and what is known beside: options, provenance, splits, use, links."""
    dataset_id = request.match_info["dataset_id"]
    if not dataset_states.is_dataset_id(dataset_id):
        raise not_found("there is no such dataset")
    found = await asyncio.to_thread(details, service_of(request), dataset_id)
    return web.json_response(found, headers={"Cache-Control": "no-store"})
