"""Listing raw folders: the same names in the same order on every machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"})

NOT_UTF8 = "its file name is not UTF-8"

_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})


def visible_files(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the names of files in `folder` with one of the suffixes, in any case, sorted.

    Hidden files (also macOS's `._name.jpg`) and what systems leave behind are left out. Nothing
    if there is no such folder.
    """
    yield from sorted(unsorted_files(folder, suffixes))


def unsorted_files(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield what `visible_files` does as it comes, for who holds none and needs no order."""
    with _entries(folder) as entries:
        for entry in entries:
            name = entry.name
            # Not Path.suffix: a Path for each of a million files takes longer than all the rest.
            dot = name.rfind(".")
            if (
                dot > 0
                and name[dot:].lower() in suffixes
                and name[0] != "."
                and name.lower() not in _SYSTEM_NAMES
                and entry.is_file()
            ):
                yield name


def holds_files(folder: Path, suffixes: Collection[str]) -> bool:
    """Whether `visible_files` would yield any; looks no further than the first."""
    return any(True for _ in unsorted_files(folder, suffixes))


def visible_folders(folder: Path) -> Iterator[str]:
    """Yield the names of the folders in `folder`, hidden and systems' own left out, sorted."""
    with _entries(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    yield from sorted(
        name for name in names if name[0] != "." and name.lower() not in _SYSTEM_NAMES
    )


def portable(name: str) -> str:
    """Return the name with bytes that are not UTF-8 written as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_portable(name: str) -> bool:
    """Whether the name can be put into JSON and databases, and be found again."""
    return name.isascii() or portable(name) == name


@contextmanager
def _entries(folder: Path) -> Iterator[Iterable[os.DirEntry[str]]]:
    # scandir knows of most entries what they are without asking for each: folders are large.
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        yield ()
        return
    with entries:
        yield entries
