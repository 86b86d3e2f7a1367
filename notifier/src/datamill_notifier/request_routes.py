"""`POST /requests`: the same request over HTTP, for those who can't reach the broker."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from datamill.errors import DecodeError
from datamill.logs import DATASET_ID
from datamill.request import Request
from datamill_notifier.near import near_of
from datamill_notifier.origin import check_origin
from datamill_notifier.problems import invalid
from datamill_notifier.service import service_of

log = logging.getLogger(__name__)

routes = web.RouteTableDef()


@routes.post("/requests")
async def post_request(request: web.Request) -> web.Response:
    """Publish a request; answer 202 once the broker has it."""
    service = service_of(request)
    check_origin(request, service.public_url)
    try:
        asked = Request.decode(await request.read())
    except DecodeError as error:
        raise invalid(f"the request {error}" if _lacks_subject(error) else str(error)) from error
    message_id, near = await asyncio.gather(service.asker.ask(asked), near_of(request).hint(asked))
    log.info("asked over HTTP: %s", asked.dataset_name, extra={DATASET_ID: asked.dataset_id})
    url = f"{service.public_url}/datasets/{asked.dataset_id}"
    document = {
        "dataset_id": asked.dataset_id,
        "url": url,
        "message_id": message_id,
        "near": near,
    }
    return web.json_response(document, status=202, headers={"Location": url})


def _lacks_subject(error: DecodeError) -> bool:
    return str(error).startswith("is ")
