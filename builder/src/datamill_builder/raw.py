"""Raw data: which version of it lies in a folder, and whether that has changed at a glance.

The version is a digest over every file's path, size and content. Hashing content is done once
per file: the catalog keeps digests, valid while size, modification time and inode stay. Above
4 GiB, or as the settings say, modification times stand in for content, so that a build of very
large raw data does not begin by reading all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog
from datamill_builder.raw_contents import contents
from datamill_builder.raw_listing import raw_files

CONTENT_LIMIT_BYTES = 4 * 1024**3
"""Up to this size `auto` digests content."""

_MAX_MARKED_FOLDERS = 500
_MAX_GLANCED_FILES = 500


class UnknownDataset(DatamillError):
    """There is no raw data for this dataset."""


class RawDataChanged(DatamillError):
    """The raw data changed while the dataset was built from it; ask again to build it anew."""


@dataclass(frozen=True)
class RawVersion:
    """`digest` names the version; `marks` tells a change of the folders at a glance."""

    digest: str
    marks: str


def raw_version(
    catalog: Catalog, folder: Path, mode: Literal["auto", "content", "stat"]
) -> RawVersion:
    """Return the version of the raw data in a folder; raise `UnknownDataset`."""
    if not folder.is_dir():
        raise UnknownDataset(f"{folder.name} is no folder in the raw root")
    folders: list[str] = []
    count = size = 0
    marks, times = hashlib.sha256(), hashlib.sha256(b"stat\n")
    for file in raw_files(folder, folders):
        count += 1
        size += file.size
        marks.update(_told(file.path, file.mark))
        times.update(_told(file.path, f"{file.size}\0{file.mtime_ns}"))
    digest = times.hexdigest()
    if mode == "content" or (mode == "auto" and size <= CONTENT_LIMIT_BYTES):
        digest = _by_content(catalog, folder)
    noted = {
        "folder": str(folder),
        "folders": {path: _folder_mark(folder / path) for path in folders[:_MAX_MARKED_FOLDERS]},
        "files": count,
        "stat": marks.hexdigest(),
    }
    return RawVersion(digest, json.dumps(noted))


def _by_content(catalog: Catalog, folder: Path) -> str:
    total = hashlib.sha256(b"content\n")
    for file, digest in contents(catalog, folder, raw_files(folder)):
        total.update(_told(file.path, f"{file.size}\0{digest}"))
    return total.hexdigest()


def unchanged(marks: str) -> bool:
    """Return whether the raw data is, at a glance, what it was when the marks were taken.

    Up to 500 files every one is looked at; beyond, only folders, so that it costs microseconds
    per folder: a file that was written over in place is then noticed by `unchanged_in_full`.
    """
    noted: dict[str, Any] = json.loads(marks)
    root = Path(noted["folder"])
    if any(_folder_mark(root / path) != mark for path, mark in noted["folders"].items()):
        return False
    return int(noted["files"]) > _MAX_GLANCED_FILES or unchanged_in_full(marks)


def unchanged_in_full(marks: str) -> bool:
    """Return whether every file has the size, modification time and inode that it had."""
    noted = json.loads(marks)
    told = hashlib.sha256()
    try:
        for file in raw_files(Path(noted["folder"])):
            told.update(_told(file.path, file.mark))
    except OSError:
        return False
    return told.hexdigest() == str(noted["stat"])


def _told(path: str, facts: str) -> bytes:
    return os.fsencode(f"{path}\0{facts}\n")


def _folder_mark(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
