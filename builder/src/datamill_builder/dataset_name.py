"""What a dataset's name picks: a handler and a raw folder, its own unless the settings say so."""

from __future__ import annotations

from pathlib import Path

from datamill.settings import Settings
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.sources import UnknownRelease
from datamill_builder.raw import UnknownDataset

_HINT = (
    "if {name} is raw data for another handler, the builder's datamill.toml has to say so: "
    '[datasets.{name}] handler = "…"'
)


def handler_of(name: str, settings: Settings) -> str:
    """Return the handler's name."""
    configured = settings.datasets.get(name)
    return (configured and configured.handler) or name


def raw_of(name: str, settings: Settings) -> str | None:
    """Return the raw folder that the settings name; None where that is left to the handler."""
    configured = settings.datasets.get(name)
    return configured.raw if configured else None


def environment_of(
    name: str, version: str, settings: Settings, environments: Environments
) -> Environment:
    """Return the environment of the handler that reads a dataset of this name.

    Raises `UnknownDataset` or `UnknownRelease`, whichever is more likely what was got wrong, and
    what `Environments.resolve` raises.
    """
    try:
        return environments.resolve(handler_of(name, settings), version)
    except UnknownRelease as error:
        if name in settings.datasets or error.declared:
            raise
        if (settings.raw_folder / name).is_dir():
            raise UnknownRelease(f"{error}; {_HINT.format(name=name)}") from error
        raise UnknownDataset(_unknown(name, settings.raw_folder)) from error


def _unknown(name: str, raw_root: Path) -> str:
    there = sorted(f.name for f in raw_root.iterdir() if f.is_dir()) if raw_root.is_dir() else []
    listed = ", ".join(there[:20]) or "nothing"
    return f"no handler and no raw data are called {name}; in the raw root there is: {listed}"
