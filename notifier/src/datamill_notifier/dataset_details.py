"""Everything that is known of one dataset, as a JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from datamill_builder.catalog import lifecycle
from datamill_builder.catalog.differences import Side, known_defaults
from datamill_builder.catalog.options import Option, options
from datamill_builder.catalog.pins import pins
from datamill_builder.catalog.sides import find_side, finished_sides
from datamill_notifier import dataset_states, documents
from datamill_notifier.documents import Document, written_time
from datamill_notifier.service import Service
from datamill_notifier.snippet import snippet

MOST_SKIPPED = 100
"""So many skipped source items are named; the manifest has all."""

PROVENANCE = (
    "handler",
    "package",
    "package_version",
    "entry_point",
    "wheel",
    "wheel_sha256",
    "origin",
    "raw",
    "raw_version",
    "mode",
)
"""What of a recipe tells where a dataset is from."""


def details(service: Service, dataset_id: str) -> Document:
    """Return all of it; raise the problem of a dataset nobody asked for. Blocks."""
    closely = dataset_states.find_closely(service, dataset_id)
    view = closely.view
    key = view.dataset.content_key
    with service.catalog.read() as connection:
        side = find_side(connection, dataset_id)
        finished = finished_sides(connection, view.dataset.dataset_name)
        aliases = lifecycle.aliases(connection, key) if key else []
    assert side is not None
    return (
        documents.state(closely, service.public_url)
        | documents.use(view, closely.usage)
        | {
            "options": _options(side, finished),
            "provenance": _provenance(side),
            "splits": _splits(closely.shards),
            "skipped": _skipped(closely.shards),
            "aliases": [each for each in aliases if each != dataset_id],
            "times": _times(view.dataset, view.build, closely.shards),
            "links": _links(service.public_url, dataset_id, view.build, bool(closely.shards)),
            "python": snippet(side),
        }
    )


def _options(side: Side, finished: Iterable[Side]) -> list[Document] | None:
    """Return the resolved config, option by option; None where it is not known yet."""
    if side.recipe is None:
        return None
    alike = [each for each in finished if each.handler_version == side.handler_version]
    found = options(side.config, side.recipe.get("config", {}), known_defaults([*alike, side]))
    return [_option(each) for each in found]


def _option(option: Option) -> Document:
    told = {
        "name": option.name,
        "value": option.value,
        "given": option.given,
        "changed": option.changed,
    }
    return told | ({"default": option.default} if option.default_known else {})


def _provenance(side: Side) -> Document | None:
    if side.recipe is None:
        return None
    packages = pins(side.recipe.get("lock", ""))
    interpreter = packages.pop("interpreter", None)
    known = {name: side.recipe.get(name) for name in PROVENANCE}
    return known | {"interpreter": interpreter, "packages": packages}


def _splits(shards: list[Row[Any]]) -> list[Document]:
    found: dict[str, Document] = {}
    for shard in shards:
        split = found.setdefault(
            shard.split,
            {"split": shard.split, "shards": 0, "shards_done": 0, "records": 0, "bytes": 0},
        )
        split["shards"] += 1
        split["shards_done"] += shard.sha256 is not None
        split["records"] += shard.records or 0
        split["bytes"] += shard.bytes or 0
    return list(found.values())


def _skipped(shards: list[Row[Any]]) -> Document:
    items = [item for shard in shards if shard.skipped for item in json.loads(shard.skipped)]
    return {"count": len(items), "items": items[:MOST_SKIPPED]}


def _times(dataset: Row[Any], build: Row[Any] | None, shards: list[Row[Any]]) -> Document:
    started, ended = (build.started_at, build.ended_at) if build else (None, None)
    secs = [shard.secs for shard in shards if shard.secs is not None]
    return {
        "asked_first_at": written_time(dataset.created_at),
        "asked_last_at": written_time(dataset.asked_at),
        "build_started_at": written_time(started),
        "build_ended_at": written_time(ended),
        "build_secs": round(ended - started, 3) if started and ended else None,
        "shard_secs": round(sum(secs), 3) if secs else None,
    }


def _links(url: str, dataset_id: str, build: Row[Any] | None, planned: bool) -> Document:
    base = f"{url}/datasets/{dataset_id}"
    links: Document = {"state": base, "events": f"{url}/events?dataset={dataset_id}"}
    if build is not None and build.state == "ready":
        links["archive"] = f"{url}/datasets/{build.archive}"
        links["manifest"] = f"{base}/manifest.json"
        links["preview"] = f"{base}/preview.jpg"
    if planned:
        links["shards"] = f"{base}/shards/{{index}}"
    return links
