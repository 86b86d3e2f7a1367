"""Taking a dataset through its life in a catalog, step by step, with the builder's functions."""

from __future__ import annotations

import hashlib
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datamill.archive import Manifest
from datamill.events import Reason
from datamill.request import Request
from datamill_builder.catalog import Catalog, lifecycle, tasks
from datamill_builder.catalog.holdings import drop_packed_shards
from datamill_builder.catalog.lifecycle import ArchiveResult, Failure, PlannedShard, ShardResult
from datamill_builder.catalog.states import TaskKind
from datamill_builder.store import Store
from tests.support.archives import PackedArchive, pack

OLD_URL = "http://before.test:1"
"""The address that events of these steps carry."""


@dataclass
class Steps:
    """One dataset; each method is one step, and leaves what a builder would leave."""

    catalog: Catalog
    store: Store
    config: dict[str, Any] = field(default_factory=dict)
    dataset_name: str = "toy"
    archive: PackedArchive = field(default_factory=pack)
    client: str | None = None
    """Who asks."""

    @property
    def request(self) -> Request:
        return Request.of(self.dataset_name, "1.0.0", self.config)

    @property
    def dataset_id(self) -> str:
        return self.request.dataset_id

    @property
    def content_key(self) -> str:
        return self.archive.manifest.content_key

    @property
    def manifest(self) -> Manifest:
        return self.archive.manifest

    def accepted(self) -> Steps:
        with self.catalog.write() as change:
            lifecycle.log_requests(change, [str(uuid.uuid4())], self.dataset_id, [self.client])
            lifecycle.accept_new(change, self.request)
            lifecycle.wait_for(change, self.dataset_id, 1)
        return self

    def refused(self, message: str, reason: Reason = Reason.INVALID_CONFIG) -> Steps:
        with self.catalog.write() as change:
            claim = self._claim(change, TaskKind.RESOLVE, self.dataset_id)
            lifecycle.resolve_failed(change, claim, Failure(reason, message))
        return self

    def resolved(self) -> Steps:
        recipe = {
            "dataset_name": self.dataset_name,
            "config": {**self.config, "seed": 0},
            "package": "toy-handlers",
            "package_version": "1.0.0",
            "entry_point": "toy_handlers:Toy",
            "wheel_sha256": "d" * 64,
            "lock": "",
            "raw_version": "e" * 64,
        }
        with self.catalog.write() as change:
            claim = self._claim(change, TaskKind.RESOLVE, self.dataset_id)
            lifecycle.resolved(change, claim, self.content_key, recipe, "marks")
        return self

    def planned(self) -> Steps:
        shards = [PlannedShard(shard.split, 0, 0) for shard in self.manifest.shards]
        with self.catalog.write() as change:
            claim = self._claim(change, TaskKind.PLAN, self.content_key)
            records = self.manifest.records
            lifecycle.plan_done(change, claim, None, records, records, shards)
        return self

    def shard_made(self, index: int) -> Steps:
        shard = self.manifest.shards[index]
        with self.catalog.write() as change:
            claim = self._claim(change, TaskKind.SHARD, self.content_key, index)
        with self.store.scratch() as folder:
            path = Path(folder) / "shard"
            path.write_bytes(self.archive.shards[shard.file])
            file = self.store.keep_shard(path, self.content_key, index, claim.fence)
        result = ShardResult(file, shard.records, shard.bytes, shard.sha256, [], 0.1)
        with self.catalog.write() as change:
            lifecycle.shard_done(change, claim, result, OLD_URL)
        return self

    def shards_made(self) -> Steps:
        for shard in self.manifest.shards:
            self.shard_made(shard.index)
        return self

    def packed(self) -> Steps:
        with self.catalog.write() as change:
            claim = self._claim(change, TaskKind.PACK, self.content_key)
        with self.store.scratch() as folder:
            path = self.archive.write(Path(folder))
            offsets = _offsets(path, self.manifest)
            mark = self.store.keep_archive(path, self.archive.name)
        body = self.archive.body
        digest = hashlib.sha256(body).hexdigest()
        packed = ArchiveResult(self.archive.name, len(body), digest, mark, offsets)
        with self.catalog.write() as change:
            lifecycle.pack_done(change, claim, packed, self.manifest.records, OLD_URL)
        drop_packed_shards(self.catalog, self.store, self.content_key)
        return self

    def ready(self) -> Steps:
        return self.accepted().resolved().planned().shards_made().packed()

    def failed(self, message: str) -> Steps:
        failure = Failure(Reason.HANDLER_ERROR, message, retryable=True)
        with self.catalog.write() as change:
            lifecycle.build_failed(change, self.content_key, failure)
        return self

    def evicted(self) -> Steps:
        with self.catalog.write() as change:
            lifecycle.evicted(change, self.content_key)
        self.store.archive_path(self.archive.name).unlink()
        return self

    def _claim(self, change: Any, kind: TaskKind, subject: str, index: int = 0) -> tasks.Claim:
        claim = tasks.claim(change, kind, subject, index, "test")
        assert claim is not None, f"no {kind} is pending"
        return claim


def _offsets(path: Path, manifest: Manifest) -> list[int]:
    body = path.read_bytes()
    with zipfile.ZipFile(path) as opened:
        infos = [opened.getinfo(shard.file) for shard in manifest.shards]
    starts = [info.header_offset + 30 for info in infos]
    return [
        start
        + int.from_bytes(body[start - 4 : start - 2], "little")
        + int.from_bytes(body[start - 2 : start], "little")
        for start in starts
    ]
