"""Pairs of an image and what belongs to it, by name: equal but for folder and suffix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import NOT_UTF8, is_portable, portable, unsorted_files


def files_by_name(base_path: Path, folder: str, suffixes: Collection[str]) -> dict[str, list[str]]:
    """Return the paths of the files in `folder`, below `base_path`, by name without suffix."""
    files: dict[str, list[str]] = defaultdict(list)
    for name in unsorted_files(base_path / folder, suffixes):
        files[PurePosixPath(name).stem].append(f"{folder}/{name}")
    return files


@dataclass(frozen=True)
class Pairing:
    """What belongs to an image, as in "mask", and the folders in which both are."""

    role: str
    image_folder: str
    role_folder: str

    def all_items(
        self, images: Mapping[str, Sequence[str]], partners: Mapping[str, Sequence[str]]
    ) -> Iterator[SourceItem]:
        """Yield the pairs of all names, and what is no pair as bad items."""
        for name in images.keys() | partners.keys():
            yield from self.items(images.get(name, ()), partners.get(name, ()))

    def items(
        self,
        images: Sequence[str],
        partners: Sequence[str],
        meta: Mapping[str, Any] | None = None,
    ) -> Iterator[SourceItem]:
        """Yield the pair of a name, with the files `image` and the role; else bad items.

        `images`, `partners`: paths of all files that have this name.
        """
        for path in images or partners:
            problem = self._problem(path, images, partners)
            if problem:
                yield SourceItem.bad(portable(path), problem, meta)
            else:
                yield SourceItem(path, {"image": path, self.role: partners[0]}, meta)

    def _problem(self, path: str, images: Sequence[str], partners: Sequence[str]) -> str | None:
        name = portable(path[: path.rfind(".")])
        if not partners:
            missing = self.role_folder + name.removeprefix(self.image_folder)
            return f"an image without its {self.role} {missing}.png"
        if not images:
            missing = self.image_folder + name.removeprefix(self.role_folder)
            return f"a {self.role} without its image {missing}.jpg"
        if len(images) > 1:
            return f"{len(images)} images of one name: {_told(images)}"
        if len(partners) > 1:
            return f"an image with {len(partners)} {self.role}s: {_told(partners)}"
        if not is_portable(path) or not is_portable(partners[0]):
            return NOT_UTF8
        return None


def _told(paths: Sequence[str]) -> str:
    return ", ".join(sorted(map(portable, paths)))
