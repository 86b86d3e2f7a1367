"""All shards of a handler, without a builder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from dataset_handlers.sdk.errors import HandlerError, TooManyBadItemsError

log = logging.getLogger(__name__)

PlannedItem = Mapping[str, Any]
WriteShard = Callable[[list[PlannedItem], str], dict[str, Any]]


def standalone_key(name: str, version: str, config: dict[str, Any]) -> str:
    """Return what stands for the builder's content key: equal requests, equal bytes."""
    document = json.dumps([name, version, config], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def output_folder(raw_folder: Path) -> Path:
    """Return the current directory. Raises `HandlerError` if it is the raw folder or in it."""
    here, raw = Path.cwd(), raw_folder.resolve()
    if raw == here or raw in here.parents:
        raise HandlerError(f"the current directory is in the raw data {raw}: change to another")
    return here


def write_all(
    items: Sequence[PlannedItem],
    write: WriteShard,
    folder: Path,
    name: str,
    records_per_shard: int,
    max_bad_share: float,
) -> list[str]:
    """Write every split's shards as `<name>-<split>.tfrecord-00000-of-00016`; return the paths.

    Raises `TooManyBadItemsError` once all is written and too much of it was skipped.
    """
    paths, skipped = [], []
    by_split = sorted(items, key=lambda item: str(item["split"]))
    for split, of_split in groupby(by_split, key=lambda item: item["split"]):
        shards = _cut(list(of_split), records_per_shard)
        for number, shard in enumerate(shards):
            path = folder / f"{name}-{split}.tfrecord-{number:05d}-of-{len(shards):05d}"
            skipped += _write_one(shard, write, path)
            paths.append(str(path))
    for bad in skipped:
        log.warning("skipped %s: %s", bad["key"], bad["reason"])
    if len(skipped) > max_bad_share * len(items):
        first = skipped[0]
        raise TooManyBadItemsError(
            f"{len(skipped)} of {len(items)} items are bad, max_bad_share allows {max_bad_share}; "
            f"the first: {first['key']}: {first['reason']}"
        )
    return paths


def _write_one(shard: list[PlannedItem], write: WriteShard, path: Path) -> list[dict[str, str]]:
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        skipped: list[dict[str, str]] = write(shard, str(unfinished))["skipped"]
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return skipped


def _cut(items: list[PlannedItem], records_per_shard: int) -> list[list[PlannedItem]]:
    per_item = max(1, items[0]["records"])
    count = max(1, records_per_shard // per_item)
    return [items[start : start + count] for start in range(0, len(items), count)]
