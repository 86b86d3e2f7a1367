"""`/admin`: for who has the token."""

from __future__ import annotations

import asyncio
import hmac
import logging

from aiohttp import web

from datamill.logs import DATASET_ID
from datamill_builder.catalog import lifecycle
from datamill_builder.catalog.request_log import LogFilter, LoggedRequest, logged_requests
from datamill_notifier import dataset_states, documents
from datamill_notifier.parameters import dataset_of, flag_of, limit_of, text_of, time_of
from datamill_notifier.problems import Handler, Problem, not_found
from datamill_notifier.service import Service, service_of

log = logging.getLogger(__name__)

_PREFIX = "/admin/"

routes = web.RouteTableDef()


@web.middleware
async def ask_for_token(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody at administration, known address or not, without the token."""
    if request.path.startswith(_PREFIX) and not _has_token(request):
        raise Problem(
            401,
            "unauthorized",
            "administration asks for `Authorization: Bearer <admin token>`",
            {"WWW-Authenticate": "Bearer"},
        )
    return await handler(request)


def _has_token(request: web.Request) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    expected = service_of(request).admin_token.encode()
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected)
    return same and scheme.lower() == "bearer"


@routes.post("/admin/datasets/{dataset_id}/cancel")
async def cancel(request: web.Request) -> web.Response:
    """Stop the build of a dataset; those who wait are told by `failed`."""
    dataset_id = dataset_of(request)
    state = await asyncio.to_thread(_cancel, service_of(request), dataset_id)
    log.info("cancelled by an administrator", extra={DATASET_ID: dataset_id})
    return web.json_response({"dataset_id": dataset_id, "state": state})


def _cancel(service: Service, dataset_id: str) -> str:
    known = dataset_states.find(service, dataset_id)
    if known is None:
        raise not_found("nobody has asked for this dataset yet")
    # The messages of this change stay in the outbox, where a builder's relay picks them up.
    with service.catalog.write() as change:
        stopped = lifecycle.cancel(change, dataset_id)
    if not stopped:
        raise Problem(409, "conflict", f"nothing is being built for it: it is {known.state}")
    after = dataset_states.find(service, dataset_id)
    return (after or known).state


@routes.get("/admin/requests")
async def get_requests(request: web.Request) -> web.Response:
    """Answer with accepted requests in full, newest last."""
    which = LogFilter(
        since=time_of(request, "since"),
        until=time_of(request, "until"),
        dataset_id=text_of(request, "dataset_id"),
        dataset_name=text_of(request, "dataset_name"),
        failed=flag_of(request, "failed"),
    )
    limit = limit_of(request, default=1000)
    found = await asyncio.to_thread(_logged, service_of(request), which, limit)
    return web.json_response([documents.logged(each) for each in found])


def _logged(service: Service, which: LogFilter, limit: int) -> list[LoggedRequest]:
    with service.catalog.read() as connection:
        return logged_requests(connection, which, limit)
