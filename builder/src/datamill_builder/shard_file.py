"""What a shard's file holds, found in one reading."""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamill.records import read_stream

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ShardFile:
    """A TFRecord file: its records, and digests of its bytes."""

    records: int
    bytes: int
    sha256: str
    crc32: int
    """As in a zip's headers."""


def read_shard(path: Path) -> ShardFile:
    """Read a shard's file and check each record; raise `RecordError`, or OSError."""
    with path.open("rb", buffering=0) as file:
        digesting = _Digesting(file)
        stream = io.BufferedReader(digesting, _CHUNK_BYTES)
        records = sum(1 for _ in read_stream(stream, path.name))
        return ShardFile(records, digesting.bytes, digesting.sha256.hexdigest(), digesting.crc32)


class _Digesting(io.RawIOBase):
    """Takes digests of what is read through it."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self.bytes = 0
        self.sha256 = hashlib.sha256()
        self.crc32 = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        read = memoryview(buffer)[:count]
        self.sha256.update(read)
        self.crc32 = zlib.crc32(read, self.crc32)
        self.bytes += count
        return count
