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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select

from datamill.errors import DatamillError
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import raw_files

CONTENT_LIMIT_BYTES = 4 * 1024**3
"""Up to this size `auto` digests content."""

_MAX_MARKED_FOLDERS = 500
_MAX_GLANCED_FILES = 500
_UNREADABLE = "unreadable"


class UnknownDataset(DatamillError):
    """There is no raw data for this dataset."""


class RawDataChanged(DatamillError):
    """The raw data changed while the dataset was built from it; ask again to build it anew."""


@dataclass(frozen=True)
class RawVersion:
    """`digest` names the version; `marks` tells a change of the folders at a glance."""

    digest: str
    marks: str


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    mtime_ns: int
    inode: int

    @property
    def mark(self) -> str:
        return f"{self.size}-{self.mtime_ns}-{self.inode}"


def raw_version(
    catalog: Catalog, folder: Path, mode: Literal["auto", "content", "stat"]
) -> RawVersion:
    """Return the version of the raw data in a folder; raise `UnknownDataset`."""
    if not folder.is_dir():
        raise UnknownDataset(f"{folder.name} is no folder in the raw root")
    folders = _folder_marks(folder)
    files = sorted(_files(folder), key=lambda file: file.path)
    by_content = mode == "content" or (
        mode == "auto" and sum(file.size for file in files) <= CONTENT_LIMIT_BYTES
    )
    digests = _contents(catalog, folder, files) if by_content else {}
    total = hashlib.sha256(b"content\n" if by_content else b"stat\n")
    for file in files:
        told = digests[file.path] if by_content else str(file.mtime_ns)
        total.update(os.fsencode(f"{file.path}\0{file.size}\0{told}\n"))
    noted = {"folder": str(folder), "folders": folders, "files": len(files), "stat": _stat(files)}
    return RawVersion(total.hexdigest(), json.dumps(noted))


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
    try:
        files = sorted(_files(Path(noted["folder"])), key=lambda file: file.path)
    except OSError:
        return False
    return _stat(files) == str(noted["stat"])


def _stat(files: list[_File]) -> str:
    told = hashlib.sha256()
    for file in files:
        told.update(os.fsencode(f"{file.path}\0{file.mark}\n"))
    return told.hexdigest()


def _folder_marks(root: Path) -> dict[str, int | None]:
    folders: dict[str, int | None] = {}
    for current, _ in _walk(root):
        folders[os.path.relpath(current, root)] = _folder_mark(Path(current))
        if len(folders) >= _MAX_MARKED_FOLDERS:
            break
    return folders


def _folder_mark(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None


def _walk(root: Path) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield every folder with its files, links followed, no folder twice."""
    seen: set[tuple[int, int]] = set()
    waiting = [str(root)]
    while waiting:
        current = waiting.pop()
        identity = Path(current).stat()
        if (identity.st_dev, identity.st_ino) in seen:
            continue
        seen.add((identity.st_dev, identity.st_ino))
        with os.scandir(current) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        waiting.extend(entry.path for entry in entries if _is(entry.is_dir))
        yield current, [entry for entry in entries if _is(entry.is_file)]


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:
        return False  # a link that leads nowhere but to itself


def _files(root: Path) -> Iterator[_File]:
    for _, entries in _walk(root):
        for entry in entries:
            found = entry.stat()
            path = os.path.relpath(entry.path, root)
            yield _File(path, found.st_size, found.st_mtime_ns, found.st_ino)


def _contents(catalog: Catalog, folder: Path, files: list[_File]) -> dict[str, str]:
    with catalog.read() as connection:
        rows = connection.execute(select(raw_files).where(raw_files.c.folder == str(folder)))
        known = {(row.path, row.mark): row.sha256 for row in rows}
    digests = {
        file.path: known[_text(file.path), file.mark]
        for file in files
        if (_text(file.path), file.mark) in known
    }
    missing = [file for file in files if file.path not in digests]
    with ThreadPoolExecutor(max_workers=4) as pool:
        fresh = list(pool.map(lambda file: _sha256(folder / file.path), missing))
    for start in range(0, len(missing), 1000):
        with catalog.write() as change:
            for file, digest in zip(
                missing[start : start + 1000], fresh[start : start + 1000], strict=True
            ):
                if digest == _UNREADABLE:
                    continue  # permissions leave no mark: it may be readable next time
                row = {
                    "folder": str(folder),
                    "path": _text(file.path),
                    "mark": file.mark,
                    "sha256": digest,
                }
                upsert(change.connection, raw_files, row, ["folder", "path"])
    digests.update({file.path: digest for file, digest in zip(missing, fresh, strict=True)})
    return digests


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return _UNREADABLE


def _text(path: str) -> str:
    # A name that is no UTF-8 can't be stored as text as it is.
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
