"""Packing: from shards to the archive. Equal content gives equal bytes.

Every byte that goes in is compared with the digest that was taken when its shard was written, so
that what rots on the disk between is noticed here, and only that shard is made again.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamill.archive import layout
from datamill.archive.manifest import Manifest, ManifestShard, Provenance, SkippedItem
from datamill.errors import DatamillError
from datamill.failpoint import failpoint
from datamill_builder.catalog.lifecycle import ArchiveResult
from datamill_builder.growing_archive import GrowingArchive
from datamill_builder.metadata import as_json, dataset_info
from datamill_builder.recipe import Recipe
from datamill_builder.shard_names import shard_names
from datamill_builder.store import Store, free_bytes, mark_of

log = logging.getLogger(__name__)

_NAMED_ITEMS = 5


class DamagedShards(DatamillError):
    """Shards' files are gone or are not what was written."""

    def __init__(self, indexes: list[int]) -> None:
        super().__init__(
            f"shards {', '.join(map(str, indexes))} are gone or damaged; making them again"
        )
        self.indexes = indexes


class TooManyBadItems(DatamillError):
    """More source items had to be skipped than `max_bad_share` allows."""


def pack(
    store: Store,
    archive: GrowingArchive,
    content_key: str,
    recipe: Recipe,
    build: Any,
    shards: Sequence[Any],
) -> tuple[ArchiveResult, int]:
    """Write what is missing of the archive of a build; return it and its records.

    Raises `DamagedShards` or `TooManyBadItems`.
    """
    check_bad_share(recipe, build.items or 0, shards)
    missing = [
        shard.number
        for shard in shards
        if not store.shard_path(content_key, shard.file or "-").is_file()
    ]
    if missing:
        raise DamagedShards(missing)
    left = shards[len(archive) :]
    _check_room(archive.path.parent, sum(shard.bytes for shard in left))
    damaged = []
    for shard in left:
        if not archive.add(shard):
            damaged.append(shard.number)
    if damaged:
        raise DamagedShards(damaged)
    for name, body in _metadata_entries(content_key, recipe, archive, shards):
        failpoint("pack.entry")
        archive.file.add(name, body)
    archive.file.finish()
    found = archive.path.stat()
    failpoint("pack.synced")
    records = sum(shard.records for shard in shards)
    result = ArchiveResult(
        archive.name, found.st_size, archive.file.sha256, mark_of(found), archive.offsets
    )
    return result, records


def _check_room(folder: Path, needed_bytes: int) -> None:
    """Raise at once what the disk would say after it was filled to its last byte."""
    if free_bytes(folder) < needed_bytes:
        raise OSError(errno.ENOSPC, f"an archive of {needed_bytes} bytes does not fit")


def check_bad_share(recipe: Recipe, items: int, shards: Sequence[Any]) -> None:
    """Raise `TooManyBadItems`, which names some, where too many source items were skipped."""
    skipped = _skipped(shards)
    allowed = recipe.max_bad_share
    if not skipped or not items or len(skipped) <= allowed * items:
        return
    named = "; ".join(f"{item.key}: {item.reason}" for item in skipped[:_NAMED_ITEMS])
    more = f"; and {len(skipped) - _NAMED_ITEMS} more" if len(skipped) > _NAMED_ITEMS else ""
    raise TooManyBadItems(
        f"{len(skipped)} of {items} source items are bad, max_bad_share allows "
        f"{allowed:.2%}: {named}{more}"
    )


def _skipped(shards: Sequence[Any]) -> list[SkippedItem]:
    return [
        SkippedItem(key=item["key"], reason=item["reason"])
        for shard in shards
        for item in json.loads(shard.skipped or "[]")
    ]


def _metadata_entries(
    content_key: str, recipe: Recipe, archive: GrowingArchive, shards: Sequence[Any]
) -> list[tuple[str, bytes]]:
    labels = archive.labels
    manifest = _manifest(content_key, recipe, shards, labels)
    entries = [
        (layout.DATASET_INFO, dataset_info(recipe.dataset_name, recipe.package_version, shards)),
        (layout.FEATURES, as_json(archive.features or {})),
        (layout.MANIFEST, manifest.encode()),
        (layout.PREVIEW, archive.preview()),
    ]
    for feature, names in sorted(labels.items()):
        text = "".join(f"{name}\n" for name in names)
        entries.append((layout.labels_entry_name(feature), text.encode()))
    return entries


def _manifest(
    content_key: str, recipe: Recipe, shards: Sequence[Any], labels: dict[str, list[str]]
) -> Manifest:
    environment = recipe.environment
    names = shard_names(recipe.dataset_name, shards)
    return Manifest(
        content_key=content_key,
        dataset_name=recipe.dataset_name,
        handler_version=recipe.package_version,
        config=recipe.config,
        provenance=Provenance(
            handler_package=recipe.package,
            handler_package_version=recipe.package_version,
            wheel_sha256=recipe.wheel_sha256,
            # Not the source's address: the same wheel from elsewhere gives the same bytes.
            origin=recipe.wheel,
            python=environment.platform,
            packages=environment.packages,
            raw_version=recipe.raw_version,
        ),
        records=sum(shard.records for shard in shards),
        labels=labels,
        shards=[
            ManifestShard(
                index=shard.number,
                split=shard.split,
                file=name,
                records=shard.records,
                bytes=shard.bytes,
                sha256=shard.sha256,
            )
            for shard, name in zip(shards, names, strict=True)
        ],
        skipped=_skipped(shards),
    )
