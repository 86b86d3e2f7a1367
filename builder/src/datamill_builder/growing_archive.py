"""An archive that grows while its shards are made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamill.archive import layout
from datamill.failpoint import failpoint
from datamill_builder.archive_file import ArchiveFile
from datamill_builder.preview import SHOWN_RECORDS, contact_sheet
from datamill_builder.recipe import Recipe
from datamill_builder.shard_file import ShardFile
from datamill_builder.shard_names import shard_names
from datamill_builder.store import Store


class GrowingArchive:
    """An archive in a scratch folder of its own, with the shards of a build as far as they are.

    `build` and `shards` are rows of the catalog. Not for use by several threads at once.
    """

    def __init__(
        self, store: Store, content_key: str, recipe: Recipe, build: Any, shards: Sequence[Any]
    ) -> None:
        self.name = layout.archive_name(recipe.dataset_name, recipe.package_version, content_key)
        self.offsets: list[int] = []
        """Where the bytes begin of each shard that is in it."""
        self._paths: list[Path] = []
        self._records = 0
        self._preview: bytes | None = None
        self._store = store
        self._content_key = content_key
        self._names = shard_names(recipe.dataset_name, shards)
        said = json.loads(build.features) if build.features else {}
        self.features, self.labels = said.get("features"), said.get("labels") or {}
        self._folder = store.open_scratch()
        try:
            self.file = ArchiveFile(self.path)
        except OSError:
            self._folder.close()
            raise

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def path(self) -> Path:
        """Where the file is until it is moved to its public place."""
        return self._folder.path / self.name

    def add_known(self, file: str, known: ShardFile) -> None:
        """Add the next shard, whose file was just read; raise OSError, then this is of no use."""
        failpoint("pack.shard")
        path = self._store.shard_path(self._content_key, file)
        offset = self.file.add_known_shard(self._names[len(self)], path, known.bytes, known.crc32)
        self._added(path, offset, known.records)
        if self._preview is None and self._records >= SHOWN_RECORDS:
            self._preview = contact_sheet(self._paths, self.features, self.labels)
        self.file.sync()

    def add(self, shard: Any) -> bool:
        """Add the next shard; return whether its file still is what was written."""
        failpoint("pack.shard")
        path = self._store.shard_path(self._content_key, shard.file)
        offset, digest = self.file.add_shard(self._names[len(self)], path, shard.bytes)
        self._added(path, offset, shard.records)
        return bool(digest == shard.sha256)

    def is_of(self, shards: Sequence[Any]) -> bool:
        """Return whether these shards are what is in it, as far as it goes."""
        files = [shard.file for shard in shards[: len(self)]]
        return files == [path.name for path in self._paths]

    def preview(self) -> bytes:
        """Return the contact sheet of the first records."""
        return self._preview or contact_sheet(self._paths, self.features, self.labels)

    def close(self) -> None:
        """Delete what is still in its folder."""
        self.file.close()
        self._folder.close()

    def _added(self, path: Path, offset: int, records: int) -> None:
        self._paths.append(path)
        self.offsets.append(offset)
        self._records += records
