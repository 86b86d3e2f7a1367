"""The server's own files, opened for commands: its catalog, its store, its environments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamill.errors import SettingsError
from datamill.settings import Settings
from datamill_builder.catalog import Catalog
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.sources import sources_of
from datamill_builder.store import Store

_FILE = "sqlite:///"


def open_store(settings: Settings) -> Store:
    """Return the store of the home, made at need; raise `SettingsError` where it can't be."""
    try:
        return Store(_store_folder(settings))
    except OSError as error:
        raise SettingsError(
            f"DATAMILL_HOME: {settings.home} can't be used: {error.strerror}"
        ) from error


@contextmanager
def open_catalog(settings: Settings) -> Iterator[Catalog]:
    """Give the catalog, made at need; hooks are told of what is changed in it."""
    catalog = Catalog(settings.catalog_address)
    catalog.tell_hooks(settings.hooks)
    try:
        yield catalog
    finally:
        catalog.close()


@contextmanager
def catalog_and_store(settings: Settings) -> Iterator[tuple[Catalog, Store]]:
    """Give the catalog and the store of this machine; raise `SettingsError` if they aren't here."""
    address = settings.catalog_address
    missing = address.startswith(_FILE) and not Path(address.removeprefix(_FILE)).is_file()
    if missing or not _store_folder(settings).is_dir():
        raise SettingsError(
            f"DATAMILL_HOME: {settings.home} holds no catalog and store: this works on the data "
            "server itself, with the builder's settings"
        )
    store = open_store(settings)
    with open_catalog(settings) as catalog:
        yield catalog, store


def environments_in(settings: Settings, catalog: Catalog, store: Store) -> Environments:
    """Return the environments that a builder with these settings uses."""
    sources = list(sources_of(settings).values())
    return Environments(settings.home / "environments", catalog, store, sources)


def _store_folder(settings: Settings) -> Path:
    return settings.home / "store"
