"""`/admin`: what the store keeps, for who has the token: pin, evict, bring it under its budget."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

from datamill.logs import DATASET_ID
from datamill_builder.catalog import lifecycle
from datamill_builder.catalog.holdings import Holding, Stays, take_away
from datamill_notifier import tidying
from datamill_notifier.parameters import bytes_of, dataset_of, flag_of
from datamill_notifier.problems import Problem, not_found
from datamill_notifier.service import Service, service_of

log = logging.getLogger(__name__)

routes = web.RouteTableDef()

Document = dict[str, Any]

_STAYS = {
    Stays.PINNED: "it is pinned: `datamill unpin` it first",
    Stays.DOWNLOADED: "it is being downloaded just now; --force evicts it even so",
    Stays.WANTED: "it is asked for, and what that means is looked up; --force evicts it even so",
    Stays.RECENT: "it was told ready or fetched within the last hour; --force evicts it even so",
}


@routes.post("/admin/datasets/{dataset_id}/pin")
async def pin(request: web.Request) -> web.Response:
    """Have the content of a dataset never evicted; its raw data of now, its handler's version."""
    return await _say_pinned(request, pinned=True)


@routes.post("/admin/datasets/{dataset_id}/unpin")
async def unpin(request: web.Request) -> web.Response:
    """Let the content of a dataset be evicted."""
    return await _say_pinned(request, pinned=False)


async def _say_pinned(request: web.Request, pinned: bool) -> web.Response:
    dataset_id = dataset_of(request)
    document = await asyncio.to_thread(_pin, service_of(request), dataset_id, pinned)
    if document["changed"]:
        word = "pinned" if pinned else "unpinned"
        log.info("%s by an administrator", word, extra={DATASET_ID: dataset_id})
    return web.json_response(document)


def _pin(service: Service, dataset_id: str, pinned: bool) -> Document:
    content_key = _content_key(service, dataset_id)
    with service.catalog.write() as change:
        changed = (lifecycle.pin if pinned else lifecycle.unpin)(change, content_key)
    return {
        "dataset_id": dataset_id,
        "content_key": content_key,
        "pinned": pinned,
        "changed": changed,
    }


@routes.post("/admin/datasets/{dataset_id}/evict")
async def evict(request: web.Request) -> web.Response:
    """Take a finished dataset out of the store; those who know it are told by `evicted`."""
    dataset_id, force = dataset_of(request), flag_of(request, "force")
    document = await asyncio.to_thread(_evict, service_of(request), dataset_id, force)
    log.info("evicted by an administrator", extra={DATASET_ID: dataset_id})
    return web.json_response(document)


def _evict(service: Service, dataset_id: str, force: bool) -> Document:
    content_key = _content_key(service, dataset_id)
    # The messages of this change stay in the outbox, where a builder's relay picks them up.
    taken = take_away(service.catalog, service.store, content_key, force=force)
    if taken is None:
        with service.catalog.read() as connection:
            build = lifecycle.find_build(connection, content_key)
        assert build is not None
        raise Problem(409, "conflict", f"nothing of it is in the store: it is {build.state}")
    if isinstance(taken, Stays):
        raise Problem(409, "kept", _STAYS[taken])
    assert isinstance(taken, Holding)
    return {
        "dataset_id": dataset_id,
        "content_key": content_key,
        "what": taken.kind,
        "archive": taken.archive,
        "bytes": taken.bytes,
    }


def _content_key(service: Service, name: str) -> str:
    """Return what a dataset id stands for now. A content key stands for itself."""
    with service.catalog.read() as connection:
        dataset = lifecycle.find_dataset(connection, name)
        if dataset is not None and dataset.content_key is not None:
            return str(dataset.content_key)
        if lifecycle.find_build(connection, name) is not None:
            return name
    if dataset is None:
        raise not_found("nobody has asked for this dataset yet")
    raise Problem(409, "conflict", f"what it holds is not known: it is {dataset.state}")


@routes.post("/admin/gc")
async def gc(request: web.Request) -> web.Response:
    """Bring the store under its budget, or another, and delete files that nobody needs.

    With `dry_run=1` only say what would go, in which order, and why the others stay.
    """
    service, budget_bytes = service_of(request), bytes_of(request, "budget")
    if budget_bytes is None:
        budget_bytes = service.store_budget_bytes
    tidy = tidying.plan if flag_of(request, "dry_run") else tidying.tidy
    return web.json_response(await asyncio.to_thread(tidy, service, budget_bytes))
