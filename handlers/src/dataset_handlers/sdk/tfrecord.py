"""The TFRecord file format, without TensorFlow.

A record: its length (uint64, little-endian), the masked CRC-32C of these 8 bytes, the bytes, their
masked CRC-32C. Source: record_writer.h and crc32c.h below tensorflow/core/lib.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import google_crc32c

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_MASK_DELTA = 0xA282EAD8


class Mark(NamedTuple):
    """A place in a file to come back to."""

    records: int
    size_bytes: int
    hash: hashlib._Hash


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of `data`, rotated and offset as the format wants it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


class TFRecordWriter:
    """Writes one file and its SHA-256.

    It is not synced to the disk: the builder does that while the handler writes the next one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = Path(path).open("wb")  # noqa: SIM115 - closed by __exit__
        self._hash = hashlib.sha256()
        self.records = 0
        self.size_bytes = 0

    def write(self, record: bytes) -> None:
        """Add a record."""
        length = _LENGTH.pack(len(record))
        header = _HEADER.pack(len(record), masked_crc(length))
        for part in (header, record, _FOOTER.pack(masked_crc(record))):
            self._file.write(part)
            self._hash.update(part)
            self.size_bytes += len(part)
        self.records += 1

    def mark(self) -> Mark:
        """Return where the file ends now."""
        return Mark(self.records, self.size_bytes, self._hash.copy())

    def back_to(self, mark: Mark) -> None:
        """Take away what was written after `mark`."""
        self.records, self.size_bytes, self._hash = mark
        self._file.seek(self.size_bytes)
        self._file.truncate()

    def sha256(self) -> str:
        """Return the digest of the file so far, lower-case hex."""
        return self._hash.hexdigest()

    def __enter__(self) -> TFRecordWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def first_record(path: str | os.PathLike[str]) -> bytes | None:
    """Return the first record of a file, or None if it is empty; checksums are not looked at."""
    with Path(path).open("rb") as file:
        header = file.read(_HEADER.size)
        return file.read(_HEADER.unpack(header)[0]) if len(header) == _HEADER.size else None
