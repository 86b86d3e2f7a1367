"""Reading TFRecord files without TensorFlow.

A record is its length (uint64, little-endian), the masked CRC-32C of those eight bytes, the
payload, and the masked CRC-32C of the payload: tensorflow/core/lib/io/record_writer.h. Masking
(rotate right by 15, add a constant) is tensorflow/core/lib/hash/crc32c.h.
"""

from __future__ import annotations

import struct
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
            raise RecordError(f"{name} is cut short: the record at byte {offset} has no end")
        payload = body[:length]
        if masked_crc32c(payload) != struct.unpack("<I", body[length:])[0]:
            raise RecordError(f"{name} is damaged: the record at byte {offset} fails its checksum")
        yield payload
        offset += length + FRAMING_BYTES


def _length(header: bytes, name: str, offset: int) -> int:
    if len(header) != _HEADER_BYTES:
        raise RecordError(f"{name} is cut short at byte {offset}")
    length: int
    length, crc = struct.unpack("<QI", header)
    if masked_crc32c(header[:8]) != crc or length > MAX_RECORD_BYTES:
        raise RecordError(f"{name} is no TFRecord file, or is damaged, at byte {offset}")
    return length
