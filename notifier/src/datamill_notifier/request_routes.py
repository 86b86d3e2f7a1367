"""`POST /requests`: the same request over HTTP, for those who can't reach the broker."""

from __future__ import annotations

import asyncio
import logging
import re

from aiohttp import web

from datamill import logs, tracing
from datamill.client_name import CLIENT_FIELD, sendable
from datamill.errors import DecodeError
from datamill.http_state import REQUEST_ID_FIELD
from datamill.request import Request
from datamill_notifier.near import near_of
from datamill_notifier.origin import check_origin
from datamill_notifier.problems import invalid
from datamill_notifier.service import service_of

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r'"?[A-Za-z0-9_-]{8,128}"?\Z', re.ASCII)

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
    client = sendable(request.headers.get(CLIENT_FIELD))
    with logs.About(asked.dataset_id):
        message_id, near = await asyncio.gather(
            service.asker.ask(asked, tracing.here(), client, _message_id(request)),
            near_of(request).hint(asked),
        )
        log.info("asked over HTTP: %s", asked.dataset_name)
    url = f"{service.public_url}/datasets/{asked.dataset_id}"
    document: dict[str, object] = {
        "dataset_id": asked.dataset_id,
        "url": url,
        "message_id": message_id,
        "near": near,
    }
    return web.json_response(document, status=202, headers={"Location": url})


def _message_id(request: web.Request) -> str | None:
    """Return what the client calls its request: the same, however often it is asked again."""
    given = request.headers.get(REQUEST_ID_FIELD)
    if given is not None and not _REQUEST_ID.match(given):
        raise invalid(f"{REQUEST_ID_FIELD}: 8 to 128 letters, digits, '-', '_', in quotes or not")
    return given.strip('"') if given else None


def _lacks_subject(error: DecodeError) -> bool:
    return str(error).startswith("is ")
