"""The TFRecord file format, without TensorFlow.

A record: its length (uint64, little-endian), the masked CRC-32C of these 8 bytes, the bytes, their
masked CRC-32C. Source: record_writer.h and crc32c.h below tensorflow/core/lib.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import google_crc32c
import numpy as np

from dataset_handlers.sdk.example import Part

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_MASK_DELTA = 0xA282EAD8
_PARTS_AT_ONCE = 1024
"""Linux takes no more in one call (IOV_MAX)."""


class Mark(NamedTuple):
    """A place in a file to come back to."""

    records: int
    size_bytes: int


def masked_crc(*parts: Part) -> int:
    """Return the CRC-32C of all parts, rotated and offset as the format wants it."""
    crc = 0
    for part in parts:
        # It takes no view itself.
        crc = google_crc32c.extend(crc, part if isinstance(part, bytes) else np.asarray(part))
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


class TFRecordWriter:
    """Writes one file.

    It is not synced to the disk: the builder does that while the handler writes the next one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115 - closed by __exit__
        self.records = 0
        self.size_bytes = 0

    def write(self, *record: Part) -> None:
        """Add a record, given in one part or several."""
        size = sum(map(len, record))
        length = _LENGTH.pack(size)
        header = _HEADER.pack(size, masked_crc(length))
        footer = _FOOTER.pack(masked_crc(*record))
        framed = [header, *record, footer]
        for first in range(0, len(framed), _PARTS_AT_ONCE):
            self._write(framed[first : first + _PARTS_AT_ONCE])
        self.size_bytes += len(header) + size + len(footer)
        self.records += 1

    def _write(self, parts: list[Part]) -> None:
        written = os.writev(self._file.fileno(), parts)
        if written == sum(map(len, parts)):
            return
        for part in parts:
            rest = memoryview(part)[written:]
            written = max(0, written - len(part))
            while rest:  # the next try says why, or goes on
                rest = rest[self._file.write(rest) :]

    def mark(self) -> Mark:
        """Return where the file ends now."""
        return Mark(self.records, self.size_bytes)

    def back_to(self, mark: Mark) -> None:
        """Take away what was written after `mark`."""
        self.records, self.size_bytes = mark
        self._file.seek(self.size_bytes)
        self._file.truncate()

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
