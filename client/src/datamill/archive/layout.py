"""The names inside an archive, and of an archive.

An archive is flat. Entries are stored, in the order: metadata, label files, contact sheet,
shards.
"""

from __future__ import annotations

import re

DATASET_INFO = "dataset_info.json"
"""TensorFlow Datasets' own metadata, together with `FEATURES`."""
FEATURES = "features.json"
MANIFEST = "manifest.json"
PREVIEW = "preview.jpg"
LABELS_SUFFIX = ".labels.txt"

REQUIRED_ENTRIES = (DATASET_INFO, FEATURES, MANIFEST)
FIXED_ENTRIES = (*REQUIRED_ENTRIES, PREVIEW)

CONTENT_KEY_PATTERN = r"^[0-9a-f]{64}\Z"
SPLIT_PATTERN = r"^[A-Za-z0-9_]{1,64}\Z"

_LABELS_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.labels\.txt\Z", re.ASCII)
_SHARD_NAME = re.compile(
    r"[a-z0-9][a-z0-9_-]{0,63}-[A-Za-z0-9_]{1,64}\.tfrecord-\d{5,9}-of-\d{5,9}\Z", re.ASCII
)


def shard_entry_name(
    dataset_name: str, split: str, number_in_split: int, count_in_split: int
) -> str:
    """Return a shard's name as TensorFlow Datasets writes it; numbers count from 0."""
    return f"{dataset_name}-{split}.tfrecord-{number_in_split:05d}-of-{count_in_split:05d}"


def labels_entry_name(feature: str) -> str:
    """Return the name of the file that holds the class names of a feature, one a line."""
    return f"{feature}{LABELS_SUFFIX}"


def archive_name(dataset_name: str, handler_version: str, content_key: str) -> str:
    """Return the file name of an archive: named by content, it never means two things."""
    return f"{dataset_name}_{handler_version}_{content_key}.zip"


def is_shard_name(name: str) -> bool:
    """Return whether an entry's name is a shard's."""
    return _SHARD_NAME.match(name) is not None


def is_labels_name(name: str) -> bool:
    """Return whether an entry's name is a label file's."""
    return _LABELS_NAME.match(name) is not None


def is_entry_name(name: str) -> bool:
    """Return whether an archive may hold an entry of this name."""
    return name in FIXED_ENTRIES or is_shard_name(name) or is_labels_name(name)
