"""`POST /compare`: why two requests are not one dataset. `POST /near`: what there is like one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from datamill.errors import DecodeError
from datamill.request import Request
from datamill_builder.catalog import differences
from datamill_builder.catalog.differences import Side
from datamill_builder.catalog.sides import find_side, finished_sides, side_of
from datamill_notifier.dataset_states import is_dataset_id
from datamill_notifier.near import near_of
from datamill_notifier.problems import invalid, not_found
from datamill_notifier.service import Service, service_of

Document = dict[str, Any]

routes = web.RouteTableDef()

_SIDES = ("a", "b")
_AS_OF_NOW = {"Cache-Control": "no-store"}


@routes.post("/compare")
async def post_compare(request: web.Request) -> web.Response:
    """Answer with what differs between `a` and `b`: dataset ids, or requests in full."""
    asked = _two(await request.read())
    answer = await asyncio.to_thread(_compared, service_of(request), asked)
    return web.json_response(answer, headers=_AS_OF_NOW)


@routes.post("/near")
async def post_near(request: web.Request) -> web.Response:
    """Answer with the finished dataset that is near to a request, if there is one."""
    try:
        asked = Request.decode(await request.read())
    except DecodeError as error:
        raise invalid(str(error)) from error
    found = await asyncio.to_thread(near_of(request).to_request, asked)
    return web.json_response({"near": found}, headers=_AS_OF_NOW)


def _two(body: bytes) -> list[str | Request]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"is not JSON: {error}"[:300]) from error
    if not isinstance(document, dict) or set(document) != set(_SIDES):
        raise invalid('compare two: {"a": …, "b": …}, each a dataset id or a request')
    return [_asked(name, document[name]) for name in _SIDES]


def _asked(name: str, given: Any) -> str | Request:
    if isinstance(given, str):
        if not is_dataset_id(given):
            raise invalid(f"{name}: {given[:80]!r} is no dataset id")
        return given
    try:
        return Request.decode(json.dumps(given).encode())
    except (DecodeError, RecursionError) as error:
        raise invalid(f"{name}: {error}") from error


def _compared(service: Service, asked: list[str | Request]) -> Document:
    with service.catalog.read() as connection:
        one, other = (_side(connection, each) for each in asked)
        names = sorted({one.dataset_name, other.dataset_name})
        finished = [each for name in names for each in finished_sides(connection, name)]
    versions = (one.handler_version, other.handler_version)
    alike = [each for each in finished if each.handler_version in versions]
    found = differences.compare(one, other, differences.known_defaults(alike))
    return {"a": _told(one), "b": _told(other), **found.document()}


def _side(connection: Connection, asked: str | Request) -> Side:
    if isinstance(asked, Request):
        return side_of(connection, asked)
    side = find_side(connection, asked)
    if side is None:
        raise not_found(f"nobody has asked for {asked[:12]} yet")
    return side


def _told(side: Side) -> Document:
    return {
        "dataset_id": side.dataset_id,
        "dataset_name": side.dataset_name,
        "handler_version": side.handler_version,
        "dataset_config": dict(side.config),
        "content_key": side.content_key,
        "resolved": side.recipe.get("config") if side.recipe else None,
    }
