"""Making a folder the raw data of a dataset: by a link in the raw root, or in `datamill.toml`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from datamill.errors import SettingsError
from datamill.settings import SETTINGS_FILE, Settings
from datamill_builder.settings_file import add_dataset

RESTART = f"restart builders: they read {SETTINGS_FILE} when they start"


@dataclass(frozen=True)
class Addition:
    """How a folder becomes a dataset's raw data."""

    name: str
    folder: Path
    link: Path | None = None
    """Where a link to the folder is made; None where none is needed."""
    entry: dict[str, str] | None = None
    """What `[datasets.<name>]` says; None where no setting is needed."""

    @property
    def text(self) -> str:
        """Return it for people."""
        if self.entry is not None:
            told = ", ".join(f'{key} = "{value}"' for key, value in self.entry.items())
            return f"[datasets.{self.name}] {told} in {SETTINGS_FILE}; {RESTART}"
        if self.link is not None:
            return f"{self.link} is a link to it"
        return "it is in the raw root already"


def plan_addition(settings: Settings, folder: Path, name: str, handler: str) -> Addition:
    """Return how a folder is to be added; raise `SettingsError` where its name is taken."""
    if name in settings.datasets:
        raise SettingsError(f"{SETTINGS_FILE} says already what {name} is: choose another --name")
    root = settings.raw_folder
    place = root / name
    if os.path.lexists(place) and not (place.exists() and place.samefile(folder)):
        raise SettingsError(f"{place} is there already, and is another: choose another --name")
    is_there = place.exists()
    if handler == name:
        return Addition(name, folder, link=None if is_there else place)
    entry = {"handler": handler}
    if not is_there:
        entry["raw"] = _below(root, folder)
    return Addition(name, folder, entry=entry)


def carry_out(settings: Settings, addition: Addition) -> None:
    """Make the link, or write the setting."""
    if addition.link is not None:
        addition.link.parent.mkdir(parents=True, exist_ok=True)
        addition.link.symlink_to(addition.folder, target_is_directory=True)
    if addition.entry is not None:
        add_dataset(settings.home, addition.name, addition.entry)


def folder_after(settings: Settings, addition: Addition) -> Path:
    """Return the raw folder as builders will name it."""
    if addition.entry is not None and "raw" in addition.entry:
        return settings.raw_folder / addition.entry["raw"]
    return settings.raw_folder / addition.name


def _below(root: Path, folder: Path) -> str:
    """Return a folder as settings name it: below the raw root where it is, else in full."""
    try:
        return str(folder.relative_to(root))
    except ValueError:
        return str(folder)
