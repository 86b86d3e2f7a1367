"""Whom a request is about, and which trace it belongs to: said before anything is done for it."""

from __future__ import annotations

from aiohttp import web

from datamill import logs, tracing
from datamill.trace_context import TRACEPARENT, TraceContext
from datamill_notifier.dataset_states import is_dataset_id
from datamill_notifier.problems import Handler


@web.middleware
async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have log lines name the dataset; make a span where the client has one."""
    names = (request.match_info.get("name"), request.match_info.get("dataset_id"))
    dataset_id = next((name for name in names if name and is_dataset_id(name)), None)
    trace = TraceContext.received(request.headers) if TRACEPARENT in request.headers else None
    with logs.About(dataset_id), tracing.Carrying(trace):
        if trace is None:
            return await handler(request)
        resource = request.match_info.route.resource
        known = resource.canonical if resource else "?"
        named = {"dataset_id": dataset_id, "path": request.path}
        with tracing.span(f"{request.method} {known}", "server", **named):
            response = await handler(request)
            tracing.annotate(status=response.status)
            return response
