"""A notifier that serves one archive of about 1 GiB, which lies in the page cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from datamill.source import Source
from datamill_builder.catalog import Catalog
from datamill_builder.store import Store
from tests.support.archives import PackedArchive, example, pack
from tests.support.catalog_steps import Steps
from tests.support.notifier import NotifierProcess

SHARDS, SHARD_BYTES = 32, 32 * 1024 * 1024
_RECORD_BYTES = 256 * 1024


@dataclass(frozen=True)
class Served:
    """What is served, and by whom."""

    notifier: NotifierProcess
    source: Source
    content_key: str
    path: Path
    """The archive's file in the store."""

    @property
    def url(self) -> str:
        """The archive's address."""
        return self.source.urls[0]

    @property
    def pid(self) -> int:
        """The notifier's process."""
        assert self.notifier.process is not None
        return self.notifier.process.pid


@contextmanager
def served_archive(shards: int = SHARDS, home: Path | None = None) -> Iterator[Served]:
    """Publish an archive as a builder does, and serve it."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-", dir=home) as name:
        Path(name).chmod(0o755)
        store = Store(Path(name, "store"))
        with closing(Catalog(f"sqlite:///{name}/catalog.sqlite")) as catalog:
            steps = Steps(catalog, store, archive=_archive(shards)).ready()
        archive, path = steps.archive.name, store.archive_path(steps.archive.name)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        notifier = NotifierProcess(Path(name)).start()
        try:
            source = Source((f"{notifier.url}/datasets/{archive}",), path.stat().st_size, digest)
            yield Served(notifier, source, steps.content_key, path)
        finally:
            notifier.stop()


def _archive(shards: int) -> PackedArchive:
    """Pack shards of records that nothing could compress."""
    block = os.urandom(2 * _RECORD_BYTES)
    records = [
        example(number=n, text=block[n : n + _RECORD_BYTES])
        for n in range(SHARD_BYTES // _RECORD_BYTES)
    ]
    return pack({"train": [records for _ in range(shards)]})
