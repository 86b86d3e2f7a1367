"""`/datasets`: states as JSON, archives, entries of archives, shards."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from aiohttp import web
from sqlalchemy import Row

from datamill.archive import MANIFEST, PREVIEW
from datamill.logs import About
from datamill_builder.catalog import lifecycle
from datamill_builder.catalog.about import build_named
from datamill_builder.catalog.states import BuildState
from datamill_builder.catalog.views import PublicState
from datamill_notifier import dataset_states, documents
from datamill_notifier.held_file import HeldFile
from datamill_notifier.near import Near, near_of
from datamill_notifier.parameters import limit_of, text_of, word_of
from datamill_notifier.problems import not_found
from datamill_notifier.representation import IMMUTABLE, REVALIDATE, Representation, send
from datamill_notifier.service import Service, service_of

_ARCHIVE_NAME = re.compile(
    r"[a-z0-9][a-z0-9_-]{0,63}_[A-Za-z0-9][A-Za-z0-9._+-]{0,63}_(?P<key>[0-9a-f]{64})\.zip\Z",
    re.ASCII,
)
_SHARD_NUMBER = re.compile(r"(0|[1-9][0-9]{0,8})\Z", re.ASCII)

_ENTRY_TYPES = {MANIFEST: "application/json", PREVIEW: "image/jpeg"}

_AS_OF_NOW = {"Cache-Control": "no-store"}

routes = web.RouteTableDef()


@routes.get("/datasets")
async def list_datasets(request: web.Request) -> web.Response:
    """Answer with summaries, newest first."""
    found = await asyncio.to_thread(
        _listed,
        service_of(request),
        word_of(request, "state", PublicState),
        text_of(request, "name"),
        limit_of(request, default=100),
    )
    return web.json_response(found, headers=_AS_OF_NOW)


def _listed(
    service: Service, state: PublicState | None, name: str | None, limit: int
) -> list[documents.Document]:
    found = dataset_states.newest(service, state, name, limit)
    used = dataset_states.usage_of_each(service, found)
    return [documents.summary(view) | documents.use(view, used[view.dataset_id]) for view in found]


@routes.get("/datasets/{name}")
async def get_dataset(request: web.Request) -> web.StreamResponse:
    """Answer with the state of a dataset id, or with an archive."""
    name = request.match_info["name"]
    if dataset_states.is_dataset_id(name):
        return await _state(service_of(request), near_of(request), name)
    if match := _ARCHIVE_NAME.match(name):
        return await _archive(request, name, match["key"])
    raise not_found("there is no dataset or archive of this name")


async def _state(service: Service, near: Near, dataset_id: str) -> web.Response:
    text = await asyncio.to_thread(_state_text, service, near, dataset_id)
    return web.json_response(text=text, headers=_AS_OF_NOW)


def _state_text(service: Service, near: Near, dataset_id: str) -> str:
    closely = dataset_states.find_closely(service, dataset_id)
    ready = closely.view.state is PublicState.READY
    if ready:
        service.told.note(dataset_id)
    document = documents.state(closely, service.public_url)
    return json.dumps(document | {"near": None if ready else near.to_unfinished(dataset_id)})


async def _archive(request: web.Request, name: str, content_key: str) -> web.StreamResponse:
    service = service_of(request)
    build, about = await asyncio.to_thread(_build, service, content_key)
    if build is None or build.archive != name or build.state != BuildState.READY:
        raise not_found("there is no such archive (any more): ask for the dataset")
    # What a client says that asks anew because the digest was wrong.
    doubted = "no-cache" in request.headers.get("Cache-Control", "")
    with about:
        held = await service.archives.open(build, doubted=doubted)
        archive = Representation(
            held, 0, held.size, build.sha256, "application/zip", IMMUTABLE, content_key
        )
        return await send(request, archive, service.transfers)


@routes.get("/datasets/{dataset_id}/manifest.json")
async def get_manifest(request: web.Request) -> web.StreamResponse:
    """Answer with what the archive holds."""
    return await _entry(request, MANIFEST)


@routes.get("/datasets/{dataset_id}/preview.jpg")
async def get_preview(request: web.Request) -> web.StreamResponse:
    """Answer with the contact sheet."""
    return await _entry(request, PREVIEW)


async def _entry(request: web.Request, name: str) -> web.StreamResponse:
    service = service_of(request)
    dataset_id = _dataset_id(request)
    build = await asyncio.to_thread(_build_of, service, dataset_id)
    if build is None or build.state != BuildState.READY:
        raise not_found("this dataset is not ready")
    held = await service.archives.open(build)
    try:
        entry = await service.entries.find(build.archive, held, name)
        if entry is None:
            raise not_found(f"the archive has no {name}")
        what = Representation(
            held, entry.offset, entry.size, entry.sha256, _ENTRY_TYPES[name], REVALIDATE
        )
        return await send(request, what, service.transfers)
    finally:
        held.close()


@routes.get("/datasets/{dataset_id}/shards/{index}")
async def get_shard(request: web.Request) -> web.StreamResponse:
    """Answer with one shard, while building and after."""
    service = service_of(request)
    dataset_id = _dataset_id(request)
    if not _SHARD_NUMBER.match(request.match_info["index"]):
        raise not_found("shards have numbers, from 0")
    index = int(request.match_info["index"])
    # Packing deletes the file once the archive is there: look again where it has just gone.
    what = await _shard(service, dataset_id, index) or await _shard(service, dataset_id, index)
    if what is None:
        raise not_found("this shard is not done")
    return await send(request, what, service.transfers)


async def _shard(service: Service, dataset_id: str, index: int) -> Representation | None:
    build, shard = await asyncio.to_thread(_build_and_shard, service, dataset_id, index)
    if build is None or shard is None or shard.sha256 is None:
        return None
    if build.state == BuildState.READY and shard.archive_offset is not None:
        held = await service.archives.open(build)
        return _of_shard(held, shard.archive_offset, shard, build.content_key)
    if shard.file is None:
        return None
    path = service.store.shard_path(build.content_key, shard.file)
    try:
        held = await asyncio.to_thread(HeldFile, path)
    except FileNotFoundError:
        return None
    if held.size != shard.bytes:
        held.close()
        return None
    return _of_shard(held, 0, shard)


def _dataset_id(request: web.Request) -> str:
    dataset_id = request.match_info["dataset_id"]
    if not dataset_states.is_dataset_id(dataset_id):
        raise not_found("there is no such dataset")
    return dataset_id


def _of_shard(
    held: HeldFile, offset: int, shard: Row[Any], archived_of: str | None = None
) -> Representation:
    return Representation(
        held,
        offset,
        shard.bytes,
        shard.sha256,
        "application/octet-stream",
        REVALIDATE,
        shard_of=archived_of,
    )


def _build(service: Service, content_key: str) -> tuple[Row[Any] | None, About]:
    """Return a build, and what log lines call it."""
    with service.catalog.read() as connection:
        build = lifecycle.find_build(connection, content_key)
        return build, build_named(connection, content_key)


def _build_of(service: Service, dataset_id: str) -> Row[Any] | None:
    with service.catalog.read() as connection:
        dataset = lifecycle.find_dataset(connection, dataset_id)
        if dataset is None or dataset.content_key is None:
            return None
        return lifecycle.find_build(connection, dataset.content_key)


def _build_and_shard(
    service: Service, dataset_id: str, index: int
) -> tuple[Row[Any] | None, Row[Any] | None]:
    with service.catalog.read() as connection:
        dataset = lifecycle.find_dataset(connection, dataset_id)
        if dataset is None or dataset.content_key is None:
            return None, None
        return (
            lifecycle.find_build(connection, dataset.content_key),
            lifecycle.find_shard(connection, dataset.content_key, index),
        )
