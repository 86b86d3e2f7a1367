"""The pictures of all annotation files that are read, each with where its annotations stand."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dataset_handlers.annotations.coco_file import (
    CocoFile,
    ListedImage,
    ListedObject,
    read_coco_file,
)
from dataset_handlers.sdk.errors import ConfigError, NoSourceItemsError
from dataset_handlers.sdk.source_files import is_portable, visible_files

IMAGES, ANNOTATIONS = "images", "annotations"
_SHOWN_NAMES = 100


@dataclass(frozen=True)
class ListedPicture:
    """A picture, `path` below the raw folder, and its entry in `annotations`, a file's path."""

    path: str
    annotations: str
    image: ListedImage


class CocoListing:
    """What `annotations/` lists; every file is read once, when this is made."""

    def __init__(self, base_path: Path, names: Iterable[str], *, skip_broken: bool = False) -> None:
        """Raise `NoSourceItemsError` where a file is broken, or two contradict each other.

        `skip_broken`: a broken file is one of the `bad` instead.
        """
        self._base_path = base_path
        self.bad: dict[str, str] = {}
        """What is known to be unusable, and why."""
        self._files: list[CocoFile] = []
        for path in (f"{ANNOTATIONS}/{name}" for name in names):
            try:
                self._files.append(read_coco_file(base_path, path))
            except NoSourceItemsError as error:
                if not skip_broken:
                    raise
                self.bad[path] = str(error).removeprefix(f"{path} is broken: ")
        self.categories = _categories(self._files)
        """Their ids and names, in the order of the ids."""
        self.pictures: list[ListedPicture] = []
        self._list_pictures()

    def names(self) -> list[str]:
        """Return the names of categories; ids of one name are one category."""
        return list(dict.fromkeys(self.categories.values()))

    def chosen_names(self, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return those of `wanted`, which are all where it is None, in the order of their ids.

        Raises `ConfigError` where there is no such category.
        """
        names = self.names()
        for name in wanted or ():
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                hint = f'; did you mean "{close[0]}"?' if close else ";"
                raise ConfigError(
                    f'categories: "{name}" is not allowed: no category has that name{hint} '
                    f"there are: {shown_names(names)}"
                )
        return tuple(name for name in names if wanted is None or name in wanted)

    def _list_pictures(self) -> None:
        found = _Pictures(self._base_path)
        listed: dict[str, list[ListedPicture]] = {}
        for file in self._files:
            self.bad.update(file.strays)
            for image in file.images:
                if not image.file_name:
                    self.bad[image.place] = str(image.problem)
                    continue
                path = found.path_of(image.file_name, file.path)
                key = path or f"{IMAGES}/{image.file_name}"
                if path is None and not image.problem:
                    image.problem = f"its file is not in {IMAGES}/"
                listed.setdefault(key, []).append(ListedPicture(key, file.path, image))
        for key, entries in listed.items():
            problem = self._problem(entries)
            if problem:
                self.bad[key] = problem
            else:
                self.pictures += entries

    def _problem(self, entries: list[ListedPicture]) -> str | None:
        if len(entries) > 1:
            files = list(dict.fromkeys(entry.annotations for entry in entries))
            if len(files) == 1:
                return f"{files[0]} lists it {len(entries)} times"
            return f"it is listed in {' and in '.join(files)}: choose by annotation_files"
        (entry,) = entries
        return entry.image.problem or self._undeclared(entry.image.objects())

    def _undeclared(self, objects: Iterator[ListedObject]) -> str | None:
        for listed in objects:
            if listed.category_id not in self.categories:
                return (
                    f"annotation {listed.annotation_id}: its category {listed.category_id} "
                    "is not among the categories"
                )
        return None


def shown_names(names: list[str]) -> str:
    """Return names for a message, the first of them where there are very many."""
    return ", ".join(names[:_SHOWN_NAMES]) + (", …" if names[_SHOWN_NAMES:] else "") or "none"


def annotation_names(base_path: Path, wanted: tuple[str, ...] | None) -> list[str]:
    """Return the names of the annotation files to read: `wanted`, or all `instances_*.json`.

    Raises `ConfigError` where one that is wanted is not there.
    """
    there = [
        name for name in visible_files(base_path / ANNOTATIONS, {".json"}) if is_portable(name)
    ]
    for name in wanted or ():
        if name not in there:
            raise ConfigError(
                f'annotation_files: "{name}" is not allowed: {ANNOTATIONS}/ holds '
                f"{', '.join(there[:_SHOWN_NAMES]) or 'no JSON file'}"
            )
    if wanted is not None:
        return list(wanted)
    return [name for name in there if name.startswith("instances_")]


class _Pictures:
    """Finds picture files; every folder is listed once."""

    def __init__(self, base_path: Path) -> None:
        self._base_path = base_path
        self._folders: dict[PurePosixPath, frozenset[str]] = {}

    def path_of(self, file_name: str, annotations: str) -> str | None:
        """Return where it lies: in `images/`, or in its folder of the annotation file's name.

        `instances_val2017.json` may be of `images/val2017/`.
        """
        part = PurePosixPath(annotations).stem.partition("_")[2]
        for folder in (IMAGES, f"{IMAGES}/{part}"):
            path = PurePosixPath(folder, file_name)
            if path.name in self._names(path.parent):
                return str(path)
        return None

    def _names(self, folder: PurePosixPath) -> frozenset[str]:
        if folder not in self._folders:
            try:
                with os.scandir(self._base_path / folder) as entries:
                    files = frozenset(entry.name for entry in entries if _is_file(entry))
                    self._folders[folder] = files
            except (FileNotFoundError, NotADirectoryError):
                self._folders[folder] = frozenset()
        return self._folders[folder]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle, or where nobody may look
        return False


def _categories(files: list[CocoFile]) -> dict[int, str]:
    of: dict[int, tuple[str, str]] = {}
    for file in files:
        for category_id, name in file.categories.items():
            known, where = of.setdefault(category_id, (name, file.path))
            if known != name:
                raise NoSourceItemsError(
                    f'category {category_id} is "{known}" in {where}, "{name}" in {file.path}'
                )
    return {category_id: of[category_id][0] for category_id in sorted(of)}
