"""Packing: from shards to the archive. Equal content gives equal bytes.

Every byte that goes in is compared with the digest that was taken when its shard was written, so
that what rots on the disk between is noticed here, and only that shard is made again.
"""

from __future__ import annotations

import errno
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamill.archive import layout
from datamill.archive.manifest import Manifest, ManifestShard, Provenance, SkippedItem
from datamill.errors import DatamillError
from datamill.failpoint import failpoint
from datamill_builder.archive_file import ArchiveFile
from datamill_builder.catalog.lifecycle import ArchiveResult
from datamill_builder.metadata import as_json, dataset_info
from datamill_builder.preview import contact_sheet
from datamill_builder.recipe import Recipe
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
    folder: Path,
    content_key: str,
    recipe: Recipe,
    build: Any,
    shards: Sequence[Any],
) -> tuple[ArchiveResult, int]:
    """Write the archive of a build whose shards are all there; return it and its records.

    It lies in `folder` under its name. Raises `DamagedShards` or `TooManyBadItems`.
    """
    check_bad_share(recipe, build.items or 0, shards)
    paths = [store.shard_path(content_key, shard.file or "-") for shard in shards]
    missing = [
        shard.number for shard, path in zip(shards, paths, strict=True) if not path.is_file()
    ]
    if missing:
        raise DamagedShards(missing)
    name = layout.archive_name(recipe.dataset_name, recipe.package_version, content_key)
    _check_room(folder, sum(shard.bytes for shard in shards))
    target = folder / name
    entries = _metadata_entries(content_key, recipe, build, shards, paths)
    names = _shard_names(recipe.dataset_name, shards)
    digest, offsets = _write(target, entries, shards, paths, names)
    found = target.stat()
    failpoint("pack.synced")
    records = sum(shard.records for shard in shards)
    return ArchiveResult(name, found.st_size, digest, mark_of(found), offsets), records


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


def _shard_names(dataset_name: str, shards: Sequence[Any]) -> list[str]:
    totals = Counter(shard.split for shard in shards)
    seen: Counter[str] = Counter()
    names = []
    for shard in shards:
        names.append(
            layout.shard_entry_name(
                dataset_name, shard.split, seen[shard.split], totals[shard.split]
            )
        )
        seen[shard.split] += 1
    return names


def _metadata_entries(
    content_key: str, recipe: Recipe, build: Any, shards: Sequence[Any], paths: list[Path]
) -> list[tuple[str, bytes]]:
    said = json.loads(build.features) if build.features else {}
    features, labels = said.get("features"), said.get("labels") or {}
    manifest = _manifest(content_key, recipe, shards, labels)
    entries = [
        (layout.DATASET_INFO, dataset_info(recipe.dataset_name, recipe.package_version, shards)),
        (layout.FEATURES, as_json(features or {})),
        (layout.MANIFEST, manifest.encode()),
        (layout.PREVIEW, contact_sheet(paths, features, labels)),
    ]
    for feature, names in sorted(labels.items()):
        text = "".join(f"{name}\n" for name in names)
        entries.append((layout.labels_entry_name(feature), text.encode()))
    return entries


def _manifest(
    content_key: str, recipe: Recipe, shards: Sequence[Any], labels: dict[str, list[str]]
) -> Manifest:
    environment = recipe.environment
    names = _shard_names(recipe.dataset_name, shards)
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


def _write(
    target: Path,
    entries: list[tuple[str, bytes]],
    shards: Sequence[Any],
    paths: list[Path],
    names: list[str],
) -> tuple[str, list[int]]:
    """Write the zip; return its SHA-256, and where each shard's bytes begin in it."""
    damaged, offsets = [], []
    with ArchiveFile(target) as archive:
        for name, body in entries:
            archive.add(name, body)
        for shard, path, name in zip(shards, paths, names, strict=True):
            failpoint("pack.shard")
            offset, digest = archive.add_shard(name, path, shard.bytes)
            offsets.append(offset)
            if digest != shard.sha256:
                damaged.append(shard.number)
        if damaged:
            raise DamagedShards(damaged)
    return archive.sha256, offsets
