"""Listing raw folders: the same names in the same order on every machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"})

NOT_UTF8 = "its file name is not UTF-8"

_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})


def visible_files(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the names of files in `folder` with one of the suffixes, in any case, sorted.

    Hidden files (also macOS's `._name.jpg`) and what systems leave behind are left out. Nothing
    if there is no such folder.
    """
    for name in _names(folder):
        if Path(name).suffix.lower() in suffixes and (folder / name).is_file():
            yield name


def visible_folders(folder: Path) -> Iterator[str]:
    """Yield the names of the folders in `folder`, hidden and systems' own left out, sorted."""
    for name in _names(folder):
        if (folder / name).is_dir():
            yield name


def portable(name: str) -> str:
    """Return the name with bytes that are not UTF-8 written as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_portable(name: str) -> bool:
    """Whether the name can be put into JSON and databases, and be found again."""
    return portable(name) == name


def _names(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(n for n in names if not n.startswith(".") and n.lower() not in _SYSTEM_NAMES)
