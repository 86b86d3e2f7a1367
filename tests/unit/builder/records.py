"""TFRecord files and pictures made by hand: framing, Example bytes, Pillow."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

from PIL import Image

from datamill.records import masked_crc32c

Values = list[int] | list[float] | list[bytes]


def example(**features: Values) -> bytes:
    """Return a serialised tf.train.Example."""
    return _field(1, b"".join(_entry(name, values) for name, values in features.items()))


def write_records(path: Path, payloads: list[bytes]) -> Path:
    """Write a TFRecord file."""
    with path.open("wb") as file:
        for payload in payloads:
            head = struct.pack("<Q", len(payload))
            file.write(head + struct.pack("<I", masked_crc32c(head)))
            file.write(payload + struct.pack("<I", masked_crc32c(payload)))
    return path


def picture(
    kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (8, 8), fill: Any = 0
) -> bytes:
    """Return an encoded picture of one colour; `size` is (width, height)."""
    buffer = io.BytesIO()
    Image.new(mode, size, fill).save(buffer, kind)
    return buffer.getvalue()


def _entry(name: str, values: Values) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, _list(values)))


def _list(values: Values) -> bytes:
    if not values:
        return b""
    if isinstance(values[0], bytes):
        return _field(1, b"".join(_field(1, value) for value in values))
    if isinstance(values[0], float):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(3, _field(1, b"".join(_varint(int(value)) for value in values)))


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    number &= 2**64 - 1
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
