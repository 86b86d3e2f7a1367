"""Pictures and the annotations beside them, in two trees of folders of the same names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dataset_handlers.sdk.source_files import visible_files, visible_folders

PICTURE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
ANNOTATION_SUFFIXES = frozenset({".xml"})

_Identity = tuple[tuple[int, int] | None, ...]


class Pair(NamedTuple):
    """Files of one stem in the folders of one name, by their paths below the trees."""

    stem: str
    pictures: list[str]
    annotations: list[str]

    @property
    def folder(self) -> str:
        """The path below the trees, "" at their tops."""
        return self.stem.rpartition("/")[0]


def pairs(pictures: Path, annotations: Path) -> Iterator[Pair]:
    """Yield what is in any folder of either tree, folder by folder, sorted in each.

    Links are followed, each folder once, so that no tree is without end.
    """
    for folder in _folders((pictures, annotations), "", set()):
        by_stem: dict[str, Pair] = {}
        for place, files in enumerate(
            (
                _paths(pictures, folder, PICTURE_SUFFIXES),
                _paths(annotations, folder, ANNOTATION_SUFFIXES),
            )
        ):
            for path in files:
                stem = path.rpartition(".")[0]
                pair = by_stem.setdefault(stem, Pair(stem, [], []))
                (pair.pictures, pair.annotations)[place].append(path)
        yield from (by_stem[stem] for stem in sorted(by_stem))


def _paths(tree: Path, folder: str, suffixes: Collection[str]) -> Iterator[str]:
    prefix = f"{folder}/" if folder else ""
    return (prefix + name for name in visible_files(tree / folder, suffixes))


def _folders(trees: Sequence[Path], folder: str, seen: set[_Identity]) -> Iterator[str]:
    identity = tuple(_identity(tree / folder) for tree in trees)
    if identity in seen:
        return
    seen.add(identity)
    yield folder
    names = sorted({name for tree in trees for name in visible_folders(tree / folder)})
    for name in names:
        yield from _folders(trees, f"{folder}/{name}" if folder else name, seen)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)  # noqa: PTH116 - both numbers at once, whatever it is
    except OSError:
        return None
    return found.st_dev, found.st_ino
