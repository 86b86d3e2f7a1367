"""The last words of a notifier that was told to stop."""

from __future__ import annotations

from aiohttp import web

from datamill_notifier.problems import Handler, Problem
from datamill_notifier.service import service_of

_RETRY_AFTER_SECS = 1


@web.middleware
async def take_no_more(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send new requests elsewhere: connections that wait may live as long as a download does."""
    if service_of(request).stopping():
        headers = {"Retry-After": str(_RETRY_AFTER_SECS), "Connection": "close"}
        raise Problem(503, "unavailable", "this notifier is stopping", headers)
    return await handler(request)
