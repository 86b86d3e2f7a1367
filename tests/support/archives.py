"""Archives as a builder would pack them, made by hand: zipfile, TFRecord framing, Example bytes."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from datamill.archive import Manifest, ManifestShard, Provenance, archive_name, shard_entry_name
from datamill.events import Ready

CONTENT_KEY = "ab" * 32
_TFDS = "tensorflow_datasets.core.features"
TEXT_FEATURES: dict[str, Any] = {
    "type": f"{_TFDS}.features_dict.FeaturesDict",
    "content": {
        "features": {
            "number": {
                "pythonClassName": f"{_TFDS}.scalar.Scalar",
                "tensor": {"shape": {}, "dtype": "int64", "encoding": "none"},
            },
            "text": {"pythonClassName": f"{_TFDS}.text_feature.Text", "text": {}},
        }
    },
}

Value = int | float | bytes | Sequence[int] | Sequence[float] | Sequence[bytes]


def example(**features: Value) -> bytes:
    """Return a serialised tf.train.Example."""
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _kind(value)))
        for name, value in sorted(features.items())
    )
    return _field(1, entries)


def _kind(value: Value) -> bytes:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if isinstance(values[0], bytes):
        return _field(1, b"".join(_field(1, item) for item in values))  # type: ignore[arg-type]
    if isinstance(values[0], float):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(3, _field(1, b"".join(_varint(item) for item in values)))


def _varint(number: Any) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def tfrecords(payloads: Sequence[bytes]) -> bytes:
    """Return the content of a TFRecord file."""
    return b"".join(_framed(payload) for payload in payloads)


def _framed(payload: bytes) -> bytes:
    head = struct.pack("<Q", len(payload))
    return head + struct.pack("<I", _masked(head)) + payload + struct.pack("<I", _masked(payload))


def _masked(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@dataclass(frozen=True)
class PackedArchive:
    """An archive in memory."""

    name: str
    body: bytes
    manifest: Manifest
    shards: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.body)
        return path

    def ready(self, dataset_id: str, server_url: str, cached: bool = False) -> Ready:
        return Ready(
            dataset_id=dataset_id,
            content_key=self.manifest.content_key,
            archive=self.name,
            url=f"{server_url}/datasets/{self.name}",
            bytes=len(self.body),
            sha256=self.sha256,
            records=self.manifest.records,
            shards=len(self.manifest.shards),
            cached=cached,
        )


def pack(
    splits: Mapping[str, Sequence[Sequence[bytes]]] | None = None,
    dataset_name: str = "toy",
    content_key: str = CONTENT_KEY,
    features: dict[str, Any] | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> PackedArchive:
    """Pack records, given per split as a list of shards of payloads."""
    splits = splits or {"train": [[example(number=n, text=b"t%d" % n)] for n in range(3)]}
    files: dict[str, bytes] = {}
    shards: list[ManifestShard] = []
    for split, contents in splits.items():
        for number, payloads in enumerate(contents):
            name = shard_entry_name(dataset_name, split, number, len(contents))
            files[name] = tfrecords(payloads)
            shards.append(
                ManifestShard(
                    index=len(shards),
                    split=split,
                    file=name,
                    records=len(payloads),
                    bytes=len(files[name]),
                    sha256=hashlib.sha256(files[name]).hexdigest(),
                )
            )
    manifest = manifest_of(shards, dataset_name, content_key)
    entries = {
        "dataset_info.json": b"{}",
        "features.json": json.dumps(features or TEXT_FEATURES).encode(),
        "manifest.json": manifest.encode(),
        **(extra or {}),
        **files,
    }
    name = archive_name(dataset_name, "1.0.0", content_key)
    return PackedArchive(name, zipped(entries), manifest, files)


def manifest_of(
    shards: list[ManifestShard], dataset_name: str = "toy", content_key: str = CONTENT_KEY
) -> Manifest:
    return Manifest(
        content_key=content_key,
        dataset_name=dataset_name,
        handler_version="1.0.0",
        config={"seed": 0},
        provenance=Provenance(
            handler_package="toy",
            handler_package_version="1.0.0",
            wheel_sha256="0" * 64,
            origin="toy-1.0.0-py3-none-any.whl",
            python="3.11.2",
            packages={"toy": "1.0.0"},
            raw_version="0" * 64,
        ),
        records=sum(shard.records for shard in shards),
        shards=shards,
    )


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip file with fixed times."""

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, body in entries.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = compression
            info.external_attr = 0o100644 << 16
            archive.writestr(info, body)
    return buffer.getvalue()
