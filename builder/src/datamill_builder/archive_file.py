"""Writing an archive's bytes, and taking digests of them on the way.

Shards come first, so that an archive can grow while they are made; what is said of them all comes
last, and is the first in the zip's table of contents.

The digest of the archive is taken by a thread of its own: of a shard whose checksum is known, of
the bytes as they are copied; of another one, of what is in the page cache an entry behind. All let
Python's lock go while they work.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_UNIX = 3
_LOCAL_HEADER_BYTES = 30
_EXTRA_LENGTH_AT = 28
_CHUNK_BYTES = 2 * 1024 * 1024
_CHUNKS_AHEAD = 2


class ChangedShard(OSError):
    """A shard's bytes are not those whose checksum is known."""


class ArchiveFile:
    """A zip of stored entries with fixed times; equal entries give equal bytes.

    Shards are added in their order, then the others in theirs. After `finish` the file is on the
    disk, and `sha256` its digest. `close` gives up what was not finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sha256 = ""
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._digest = _Digest()
        self._digest.start()
        self._digested_bytes = 0
        self._shards = 0

    def add(self, name: str, body: bytes) -> None:
        """Add an entry that is at hand and belongs before the shards in the table of contents."""
        self._zip.writestr(_entry(name, len(body)), body)
        self._follow()

    def add_shard(self, name: str, source: Path, size_bytes: int) -> tuple[int, str]:
        """Add a shard's file; return where its bytes begin, and the SHA-256 that they have.

        What can't be read of it is left out, so that the digest is another one.
        """
        entry = _entry(name, size_bytes)
        digest = _Digest()
        digest.start()
        try:
            with self._zip.open(entry, "w") as target:
                for chunk in _readable(source):
                    digest.update([chunk])
                    target.write(chunk)
        finally:
            digest.end()
        self._follow()
        self._shards += 1
        return self._data_begins(entry), digest.hexdigest

    def add_known_shard(self, name: str, source: Path, size_bytes: int, crc32: int) -> int:
        """Add a shard's file that was just written and checked; return where its bytes begin.

        What was added before is on its way to the disk. Raises `ChangedShard`, and OSError; after
        that the archive can only be closed.
        """
        entry = _entry(name, size_bytes)
        entry.CRC, entry.compress_size = crc32, size_bytes
        self._digest.update([entry.FileHeader(zip64=size_bytes * 1.05 > zipfile.ZIP64_LIMIT)])
        with self._zip.open(entry, "w") as target, source.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                self._digest.update([chunk])
                target.write(chunk)
        if (entry.file_size, entry.CRC) != (size_bytes, crc32):
            raise ChangedShard(f"{source.name} has changed since it was written")
        self._digested_bytes = self._flushed()
        self._shards += 1
        return self._data_begins(entry)

    def sync(self) -> None:
        """Have what was added so far written to the disk."""
        self._flushed()
        with self.path.open("rb") as file:
            os.fdatasync(file.fileno())

    def finish(self) -> None:
        """Write the table of contents, and all of it to the disk."""
        entries = self._zip.filelist
        entries[:] = entries[self._shards :] + entries[: self._shards]
        self._zip.close()
        self._digest.update(_chunks(self.path, self._digested_bytes, self.path.stat().st_size))
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self._digest.end()
        self.sha256 = self._digest.hexdigest

    def close(self) -> None:
        """Let go of the file; whatever it holds is of no use, unless it was finished."""
        with suppress(OSError, ValueError):  # it would write a table of contents
            self._zip.close()
        with suppress(OSError):
            self._digest.end()

    def _follow(self) -> None:
        """Have the archive's digest taken as far as it is written."""
        end = self._flushed()
        self._digest.update(_chunks(self.path, self._digested_bytes, end))
        self._digested_bytes = end

    def _flushed(self) -> int:
        assert self._zip.fp is not None
        self._zip.fp.flush()
        return self._zip.fp.tell()

    def _data_begins(self, entry: zipfile.ZipInfo) -> int:
        """Look into the local header: the entry's extra field is there only if it is large."""
        self._flushed()
        with self.path.open("rb") as file:
            file.seek(entry.header_offset + _EXTRA_LENGTH_AT)
            extra_bytes = int.from_bytes(file.read(2), "little")
        name_bytes = len(entry.filename.encode())
        return entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes


class _Digest(threading.Thread):
    """A SHA-256 that is taken by a thread of its own."""

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

    def end(self) -> None:
        """Have the thread end; raise what it could not read. May be called again."""
        if self.is_alive():
            self._inbox.put(None)
            self.join()
        if self._error is not None:
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
