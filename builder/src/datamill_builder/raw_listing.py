"""Listing raw data: every file once, links followed, in one order on every machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class RawFile(NamedTuple):
    """A file by its path below the raw folder, with "/", and what changes with its content."""

    path: str
    size: int
    mtime_ns: int
    inode: int

    @property
    def mark(self) -> str:
        """What the catalog knows a file's content by."""
        return f"{self.size}-{self.mtime_ns}-{self.inode}"


def raw_files(root: Path, folders: list[str] | None = None) -> Iterator[RawFile]:
    """Yield the files, sorted by path; holds no more than the folders on the way to one.

    A folder that links lead to again is left out, so that none is without end. `folders`: gets
    the paths of the folders, the root's own as ".".
    """
    return _files(str(root), "", set(), [] if folders is None else folders)


def _files(
    folder: str, prefix: str, seen: set[tuple[int, int]], folders: list[str]
) -> Iterator[RawFile]:
    identity = Path(folder).stat()
    if (identity.st_dev, identity.st_ino) in seen:
        return
    seen.add((identity.st_dev, identity.st_ino))
    folders.append(prefix.removesuffix("/") or ".")
    for name, is_folder in _entries(folder):
        path = f"{folder}/{name}"
        if is_folder:
            yield from _files(path, f"{prefix}{name}/", seen, folders)
        else:
            found = os.stat(path)  # noqa: PTH116 - a Path for each of a million files takes long
            yield RawFile(prefix + name, found.st_size, found.st_mtime_ns, found.st_ino)


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield a folder's files and folders, in the order that their paths have among all paths."""
    entries: list[str] = []
    with os.scandir(folder) as listing:
        for entry in listing:
            try:
                if entry.is_dir():
                    # What is in the folder "a" comes after "a.txt": its paths begin with "a/".
                    entries.append(entry.name + "/")
                elif entry.is_file():
                    entries.append(entry.name)
            except OSError:
                continue  # a link that leads nowhere but to itself
    entries.sort()
    for name in entries:
        yield name.removesuffix("/"), name.endswith("/")
