"""Raw data by dataset name: which folder, which handler, which versions, what was made of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datamill.request import DATASET_NAME_PATTERN
from datamill.settings import Settings
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.raw_versions import Made, Seen, all_made, versions_of
from datamill_builder.dataset_name import handler_of, raw_of
from datamill_builder.raw_listing import raw_files

_TOLD_OF_BUILDS = ("content_key", "state", "archive")


@dataclass(frozen=True)
class Version:
    """A version of raw data, and the builds that were made of it."""

    seen: Seen
    made: list[Made] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "version": self.seen.version,
            "files": self.seen.files,
            "bytes": self.seen.size_bytes,
            "first_seen_at": _written(self.seen.first_seen_at),
            "last_seen_at": _written(self.seen.last_seen_at),
            "builds": [
                {name: getattr(each, name) for name in _TOLD_OF_BUILDS} | {"bytes": each.size_bytes}
                for each in self.made
            ],
        }


@dataclass(frozen=True)
class RawDataset:
    """A dataset name with its raw data; the version that was seen last comes first.

    `name` may be none that can be asked for: then it is a folder of the raw root that no dataset
    reads.
    """

    name: str
    handler: str
    folder: Path
    files: int | None
    size_bytes: int | None
    versions: list[Version]

    @property
    def there(self) -> bool:
        """Whether the folder is there and can be read."""
        return self.folder.is_dir() and os.access(self.folder, os.R_OK | os.X_OK)

    @property
    def can_be_asked_for(self) -> bool:
        """Whether its name is that of a dataset."""
        return re.match(DATASET_NAME_PATTERN, self.name) is not None

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "handler": self.handler,
            "folder": str(self.folder),
            "there": self.there,
            "files": self.files,
            "bytes": self.size_bytes,
            "versions": [version.document() for version in self.versions],
        }


def raw_dataset(settings: Settings, catalog: Catalog, name: str) -> RawDataset:
    """Return one dataset's raw data."""
    with catalog.read() as connection:
        made = all_made(connection, name)
    return _described(settings, catalog, name, made)


def raw_datasets(settings: Settings, catalog: Catalog) -> list[RawDataset]:
    """Return all raw data that there is or was asked for, by name."""
    with catalog.read() as connection:
        made = all_made(connection)
    by_name = {name: [each for each in made if each.dataset_name == name] for name in _names(made)}
    read = {_folder(settings, name, its) for name, its in by_name.items()}
    read |= {_folder(settings, name, []) for name in settings.datasets}
    names = {*by_name, *settings.datasets}
    # A folder that a dataset of another name reads is not one more dataset.
    names |= {f.name for f in _folders(settings.raw_folder) if f not in read or f.name in names}
    return [_described(settings, catalog, name, by_name.get(name, [])) for name in sorted(names)]


def count(folder: Path) -> tuple[int, int]:
    """Return how many files a folder has, and their bytes."""
    files = size_bytes = 0
    for file in raw_files(folder):
        files += 1
        size_bytes += file.size
    return files, size_bytes


def _described(settings: Settings, catalog: Catalog, name: str, made: list[Made]) -> RawDataset:
    folder = _folder(settings, name, made)
    with catalog.read() as connection:
        seen = versions_of(connection, str(folder))
    versions = list(_versions(seen, made))
    files, size_bytes = (seen[0].files, seen[0].size_bytes) if seen else (None, None)
    if not seen and folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
        files, size_bytes = count(folder)
    return RawDataset(name, handler_of(name, settings), folder, files, size_bytes, versions)


def _versions(seen: list[Seen], made: Iterable[Made]) -> Iterator[Version]:
    builds: dict[str, list[Made]] = {}
    for each in made:
        builds.setdefault(each.version, []).append(each)
    for version in seen:
        yield Version(version, builds.pop(version.version, []))
    # Built before versions were noted, or from a folder that was elsewhere.
    for version_name, its in builds.items():
        yield Version(Seen(version_name), its)


def _folder(settings: Settings, name: str, made: list[Made]) -> Path:
    """Return where a dataset's raw data is: by the settings, else as its handler last chose."""
    chosen = raw_of(name, settings) or (made[0].raw if made else name)
    return settings.raw_folder / chosen


def _written(secs: float | None) -> str | None:
    if secs is None:
        return None
    moment = datetime.fromtimestamp(secs, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _names(made: list[Made]) -> list[str]:
    return sorted({each.dataset_name for each in made})


def _folders(root: Path) -> list[Path]:
    return [each for each in root.iterdir() if each.is_dir()] if root.is_dir() else []
