"""`/`, `/page/…`: the live page, its files, the page of a dataset, two of them side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from datamill.errors import first_line
from datamill_builder.catalog import CatalogUnavailable
from datamill_builder.catalog.lifecycle import storable
from datamill_notifier import dataset_states
from datamill_notifier.live import assets, compare, dataset, main_page, rendering
from datamill_notifier.parameters import limit_of
from datamill_notifier.problems import not_found
from datamill_notifier.representation import IMMUTABLE, REVALIDATE
from datamill_notifier.service import Service, service_of

log = logging.getLogger(__name__)

_SHOWN = 50
_MOST_SHOWN = 1000
_MOST_FILTER_CHARACTERS = 200

routes = web.RouteTableDef()


@routes.get("/")
async def get_page(request: web.Request) -> web.Response:
    """Answer with the page as of now; `q` filters it, `limit` makes its lists longer."""
    text = storable(request.query.get("q", ""))[:_MOST_FILTER_CHARACTERS]
    limit = min(limit_of(request, default=_SHOWN), _MOST_SHOWN)
    return await _page(_main, service_of(request), text, limit)


@routes.get("/page/compare")
async def get_comparison(request: web.Request) -> web.Response:
    """Answer with two datasets side by side: `id` is given twice."""
    ids = request.query.getall("id", [])
    if len(ids) != 2 or not all(dataset_states.is_dataset_id(each) for each in ids):
        return _problem(400, "Two datasets are needed", "Pick two datasets in the list.")
    return await _page(_comparison, service_of(request), *ids)


@routes.get("/page/{dataset_id}")
async def get_dataset_page(request: web.Request) -> web.Response:
    """Answer with all that is known of one dataset."""
    return await _page(_dataset, service_of(request), request.match_info["dataset_id"])


@routes.get("/page/static/{name}")
async def get_asset(request: web.Request) -> web.Response:
    """Answer with a file of the page."""
    asset = assets.assets().get(request.match_info["name"])
    if asset is None:
        raise not_found("the page has no such file")
    current = request.query.get("v") == asset.version
    headers = {"ETag": asset.etag, "Cache-Control": IMMUTABLE if current else REVALIDATE}
    known = request.if_none_match or ()
    if any(tag.value in (asset.version, "*") for tag in known):
        return web.Response(status=304, headers=headers)
    return web.Response(
        body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers
    )


def _main(service: Service, text: str, limit: int) -> str:
    return rendering.main_page(main_page.look(service, text, limit), text)


def _dataset(service: Service, dataset_id: str) -> str | None:
    found = dataset.look(service, dataset_id) if dataset_states.is_dataset_id(dataset_id) else None
    return None if found is None else rendering.dataset_page(found)


def _comparison(service: Service, ours: str, theirs: str) -> str | None:
    found = compare.look(service, ours, theirs)
    return None if found is None else rendering.compare_page(found)


async def _page(make: Callable[..., str | None], *arguments: object) -> web.Response:
    """Answer with what a function makes, in a thread; in words for people where it can't."""
    try:
        text = await asyncio.to_thread(make, *arguments)
    except CatalogUnavailable as error:
        log.warning("%s", error)
        return _problem(503, "Just a moment", first_line(error))
    if text is None:
        return _problem(404, "No such dataset", "Nobody has asked for this dataset yet.")
    return _html(text)


def _problem(status: int, title: str, message: str) -> web.Response:
    goes_away = status in (404, 503)  # a request may be on its way
    return _html(rendering.problem_page(title, message, goes_away=goes_away), status)


def _html(text: str, status: int = 200) -> web.Response:
    headers = {
        "Content-Security-Policy": rendering.CONTENT_SECURITY_POLICY,
        "Cache-Control": "no-store",
    }
    response = web.Response(text=text, content_type="text/html", headers=headers, status=status)
    response.enable_compression()
    return response
