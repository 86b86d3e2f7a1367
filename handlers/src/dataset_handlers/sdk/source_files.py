"""Listing raw folders: the same names in the same order on every machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from os.path import splitext
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"})

NOT_UTF8 = "its file name is not UTF-8"

_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})


def visible_files(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the names of files in `folder` with one of the suffixes, in any case, sorted.

    Hidden files (also macOS's `._name.jpg`) and what systems leave behind are left out. Nothing
    if there is no such folder.
    """
    yield from sorted(_files(folder, suffixes))


def holds_files(folder: Path, suffixes: Collection[str]) -> bool:
    """Whether `visible_files` would yield any; looks no further than the first."""
    return any(True for _ in _files(folder, suffixes))


def visible_folders(folder: Path) -> Iterator[str]:
    """Yield the names of the folders in `folder`, hidden and systems' own left out, sorted."""
    yield from sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def portable(name: str) -> str:
    """Return the name with bytes that are not UTF-8 written as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_portable(name: str) -> bool:
    """Whether the name can be put into JSON and databases, and be found again."""
    return portable(name) == name


def _files(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    for entry in _entries(folder):
        # Not Path.suffix: a Path for each of a million files takes longer than all the rest.
        if splitext(entry.name)[1].lower() in suffixes and entry.is_file():  # noqa: PTH122
            yield entry.name


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    # scandir knows of most entries what they are without asking for each: folders are large.
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.lower() not in _SYSTEM_NAMES:
                yield entry
