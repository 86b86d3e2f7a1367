"""Writing an archive's bytes, and taking digests of them on the way.

While one thread copies a shard into the zip, another takes the digest of the same bytes, to compare
with the one of when the shard was written, and a third follows with the digest of the archive, an
entry behind, in what is still in the page cache. All let Python's lock go while they work.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

log = logging.getLogger(__name__)

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_UNIX = 3
_LOCAL_HEADER_BYTES = 30
_EXTRA_LENGTH_AT = 28
_CHUNK_BYTES = 2 * 1024 * 1024
_CHUNKS_AHEAD = 2


class ArchiveFile:
    """A zip of stored entries with fixed times; equal entries give equal bytes.

    Entries are added in their final order. When the context has ended well, the file is on the
    disk, and `sha256` its digest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._digest = _Digest()
        self._digested_bytes = 0
        self.sha256 = ""

    def add(self, name: str, body: bytes) -> None:
        """Add an entry that is at hand."""
        self._zip.writestr(_entry(name, len(body)), body)
        self._follow()

    def add_shard(self, name: str, source: Path, size_bytes: int) -> tuple[int, str]:
        """Add a shard's file; return where its bytes begin, and the SHA-256 that they have.

        What can't be read of it is left out, so that the digest is another one.
        """
        entry = _entry(name, size_bytes)
        with _Digest() as digest, self._zip.open(entry, "w") as target:
            for chunk in _readable(source):
                digest.update([chunk])
                target.write(chunk)
        self._follow()
        return self._data_begins(entry), digest.hexdigest

    def _follow(self) -> None:
        """Have the archive's digest taken as far as it is written."""
        assert self._zip.fp is not None
        self._zip.fp.flush()
        end = self._zip.fp.tell()
        self._digest.update(_chunks(self._path, self._digested_bytes, end))
        self._digested_bytes = end

    def _data_begins(self, entry: zipfile.ZipInfo) -> int:
        """Look into the local header: the entry's extra field is there only if it is large."""
        with self._path.open("rb") as file:
            file.seek(entry.header_offset + _EXTRA_LENGTH_AT)
            extra_bytes = int.from_bytes(file.read(2), "little")
        name_bytes = len(entry.filename.encode())
        return entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes

    def __enter__(self) -> ArchiveFile:
        self._digest.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._zip.close()
            if error is None:
                size_bytes = self._path.stat().st_size
                self._digest.update(_chunks(self._path, self._digested_bytes, size_bytes))
                with self._path.open("rb+") as file:
                    os.fsync(file.fileno())
        finally:
            self._digest.__exit__(kind, error, trace)
        self.sha256 = self._digest.hexdigest


class _Digest(threading.Thread):
    """A SHA-256 that is taken by a thread of its own, which ends with the context."""

    def __init__(self) -> None:
        super().__init__(name="digest", daemon=True)
        self._hash = hashlib.sha256()
        self._inbox: queue.Queue[Iterable[bytes] | None] = queue.Queue(_CHUNKS_AHEAD)
        self._error: Exception | None = None
        self.hexdigest = ""

    def update(self, chunks: Iterable[bytes]) -> None:
        """Take these next; they are gone through by the thread."""
        self._inbox.put(chunks)

    def run(self) -> None:
        while (chunks := self._inbox.get()) is not None:
            if self._error is not None:
                continue
            try:
                for chunk in chunks:
                    self._hash.update(chunk)
            except OSError as error:
                self._error = error
        self.hexdigest = self._hash.hexdigest()

    def __enter__(self) -> _Digest:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inbox.put(None)
        self.join()
        if error is None and self._error is not None:
            raise self._error


def _entry(name: str, size_bytes: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _FIXED_TIME)
    entry.create_system = _UNIX
    entry.external_attr = _MODE
    entry.file_size = size_bytes
    return entry


def _chunks(path: Path, begin: int, end: int) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        file.seek(begin)
        while begin < end:
            chunk = file.read(min(_CHUNK_BYTES, end - begin))
            if not chunk:
                raise OSError(f"{path.name} ends at byte {begin}, not {end}")
            begin += len(chunk)
            yield chunk


def _readable(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes as far as they can be read."""
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        log.error("%s can't be read: %s", path.name, error)
