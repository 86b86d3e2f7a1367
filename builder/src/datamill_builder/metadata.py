"""TensorFlow Datasets' own metadata: what makes an unpacked archive readable by
`tfds.builder_from_directory`.

The fields are those of tensorflow_datasets/core/proto/dataset_info.proto, as its JSON is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_RELEASE = re.compile(r"\d+(\.\d+){0,2}")


def dataset_info(name: str, version: str, shards: Iterable[Any]) -> bytes:
    """Return dataset_info.json. `shards` have `split`, `records` and `bytes`, in order."""
    splits: dict[str, dict[str, Any]] = {}
    for shard in shards:
        split = splits.setdefault(
            shard.split,
            {
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "name": shard.split,
                "numBytes": 0,
                "shardLengths": [],
            },
        )
        split["numBytes"] += shard.bytes
        split["shardLengths"].append(str(shard.records))
    for split in splits.values():
        split["numBytes"] = str(split["numBytes"])
    document = {
        "description": f"{name} {version}, prepared by Datamill; manifest.json says from what.",
        "fileFormat": "tfrecord",
        "name": name,
        "splits": list(splits.values()),
        "version": three_part_version(version),
    }
    return as_json(document)


def three_part_version(version: str) -> str:
    """Return a version as TensorFlow Datasets takes it: `2.1.0rc1` → `2.1.0`."""
    found = _RELEASE.match(version)
    parts = found.group().split(".") if found else []
    return ".".join([*parts, "0", "0", "0"][:3])


def as_json(document: Any) -> bytes:
    """Return JSON for people to read; equal documents give equal bytes."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
