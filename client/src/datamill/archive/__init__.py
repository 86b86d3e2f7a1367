"""The archive: its layout, its manifest, and taking one apart safely."""

from datamill.archive.layout import (
    DATASET_INFO,
    FEATURES,
    FIXED_ENTRIES,
    LABELS_SUFFIX,
    MANIFEST,
    PREVIEW,
    REQUIRED_ENTRIES,
    archive_name,
    labels_entry_name,
    shard_entry_name,
)
from datamill.archive.manifest import Manifest, ManifestShard, Provenance, SkippedItem
from datamill.archive.streamed import ArchivePart
from datamill.archive.unpack import Limits, read_manifest, unpack

__all__ = [
    "ArchivePart",
    "DATASET_INFO",
    "FEATURES",
    "FIXED_ENTRIES",
    "LABELS_SUFFIX",
    "Limits",
    "MANIFEST",
    "Manifest",
    "ManifestShard",
    "PREVIEW",
    "Provenance",
    "REQUIRED_ENTRIES",
    "SkippedItem",
    "archive_name",
    "labels_entry_name",
    "read_manifest",
    "shard_entry_name",
    "unpack",
]
