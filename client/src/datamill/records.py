"""Reading TFRecord files without TensorFlow.

A record is its length (uint64, little-endian), the masked CRC-32C of those eight bytes, the
payload, and the masked CRC-32C of the payload: tensorflow/core/lib/io/record_writer.h. Masking
(rotate right by 15, add a constant) is tensorflow/core/lib/hash/crc32c.h.
"""

from __future__ import annotations

import os
import struct
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from datamill.errors import RecordError

FRAMING_BYTES = 16
"""What a record costs beside its payload."""

MAX_RECORD_BYTES = 2**31 - 1
"""The largest payload: a protocol buffer can't be larger."""

_HEADER_BYTES = 12
_CRC_BYTES = 4
_MASK_DELTA = 0xA282EAD8
_READ_AHEAD_BYTES = 1024 * 1024


def masked_crc32c(data: bytes) -> int:
    """Return the masked CRC-32C of some bytes."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the payload of each record of a file.

    Raises `RecordError`, which says at which byte, for a file that is cut short or damaged.
    """
    with path.open("rb", buffering=_READ_AHEAD_BYTES) as file:
        yield from read_stream(file, path.name)


def count_records(path: Path) -> int:
    """Return how many records a file holds, each checked; raise `RecordError`."""
    return sum(1 for _ in read_records(path))


def read_stream(file: BinaryIO, name: str = "the stream") -> Iterator[bytes]:
    """Yield the payload of each record from a binary stream, as `read_records` does."""
    offset = 0
    while header := file.read(_HEADER_BYTES):
        length = _length(header, name, offset)
        body = file.read(length + _CRC_BYTES)
        if len(body) != length + _CRC_BYTES:
            raise _cut_short(name, offset)
        yield _checked(body, name, offset)
        offset += length + FRAMING_BYTES


def record_ends(path: Path) -> array[int]:
    """Return at which byte of a file each record ends, by the lengths alone.

    Raises `RecordError` where one of them is damaged, or the file is cut short.
    """
    ends = array("Q")
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        if hasattr(os, "posix_fadvise"):
            # Records are wanted next: the disk reads them in one go, not a header here and there.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        size, offset = os.fstat(descriptor).st_size, 0
        while offset < size:
            header = os.pread(descriptor, _HEADER_BYTES, offset)
            begin, offset = offset, offset + _length(header, path.name, offset) + FRAMING_BYTES
            if offset > size:
                raise _cut_short(path.name, begin)
            ends.append(offset)
    return ends


class RecordFile:
    """A file that is open for reading records here and there, by any thread."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def payload(self, begin: int, end: int) -> bytes:
        """Return the payload of the record between two bytes; raise `RecordError`."""
        size = end - begin - _HEADER_BYTES
        body = os.pread(self._descriptor, size, begin + _HEADER_BYTES)
        if len(body) != size:
            raise _cut_short(self._name, begin)
        return _checked(body, self._name, begin)


def _checked(body: bytes, name: str, offset: int) -> bytes:
    """Return a payload that is followed by its checksum."""
    payload = body[:-_CRC_BYTES]
    if masked_crc32c(payload) != struct.unpack("<I", body[-_CRC_BYTES:])[0]:
        raise RecordError(f"{name} is damaged: the record at byte {offset} fails its checksum")
    return payload


def _cut_short(name: str, offset: int) -> RecordError:
    return RecordError(f"{name} is cut short: the record at byte {offset} has no end")


def _length(header: bytes, name: str, offset: int) -> int:
    if len(header) != _HEADER_BYTES:
        raise RecordError(f"{name} is cut short at byte {offset}")
    length: int
    length, crc = struct.unpack("<QI", header)
    if masked_crc32c(header[:8]) != crc or length > MAX_RECORD_BYTES:
        raise RecordError(f"{name} is no TFRecord file, or is damaged, at byte {offset}")
    return length
