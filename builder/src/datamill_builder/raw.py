"""Raw data: which version of it lies in a folder, and whether that has changed at a glance.

The version is a digest over every file's path, size and content. Hashing content is done once
per file: the catalog keeps digests, valid while size, modification time and inode stay; also that
of all together, so that of raw data that stays as it is no more than that is looked at. Above
4 GiB, or as the settings say, modification times stand in for content, so that a build of very
large raw data does not begin by reading all of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datamill.errors import DatamillError, NothingFound
from datamill_builder.catalog import Catalog, raw_versions
from datamill_builder.raw_contents import UNREADABLE, contents, keep_whole, known_whole
from datamill_builder.raw_listing import raw_files
from datamill_builder.told import Told

CONTENT_LIMIT_BYTES = 4 * 1024**3
"""Up to this size `auto` digests content."""

_MAX_MARKED_FOLDERS = 500
_MAX_GLANCED_FILES = 500


class UnknownDataset(NothingFound):
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
    """Return the version of the raw data in a folder, and note that it was seen.

    Raises `UnknownDataset`.
    """
    if not folder.is_dir():
        raise UnknownDataset(f"{folder.name} is no folder in the raw root")
    folders: list[str] = []
    count = size = 0
    marks, times = Told(), Told(b"stat\n")
    for file in raw_files(folder, folders):
        count += 1
        size += file.size
        marks.add(f"{file.path}\0{file.mark}\n")
        times.add(f"{file.path}\0{file.size}\0{file.mtime_ns}\n")
    mark, digest = marks.hexdigest(), times.hexdigest()
    if mode == "content" or (mode == "auto" and size <= CONTENT_LIMIT_BYTES):
        digest = known_whole(catalog, folder, mark) or _by_content(catalog, folder)
    raw_versions.note(catalog, str(folder), digest, count, size)
    noted = {
        "folder": str(folder),
        "folders": {path: _folder_mark(folder / path) for path in folders[:_MAX_MARKED_FOLDERS]},
        "files": count,
        "stat": mark,
    }
    return RawVersion(digest, json.dumps(noted))


def _by_content(catalog: Catalog, folder: Path) -> str:
    marks, total, all_read = Told(), Told(b"content\n"), True
    for file, digest in contents(catalog, folder, raw_files(folder)):
        marks.add(f"{file.path}\0{file.mark}\n")
        total.add(f"{file.path}\0{file.size}\0{digest}\n")
        all_read = all_read and digest != UNREADABLE
    if all_read:
        keep_whole(catalog, folder, marks.hexdigest(), total.hexdigest())
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
    told = Told()
    try:
        for file in raw_files(Path(noted["folder"])):
            told.add(f"{file.path}\0{file.mark}\n")
    except OSError:
        return False
    return told.hexdigest() == str(noted["stat"])


def _folder_mark(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
