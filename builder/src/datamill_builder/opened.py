"""What commands open that need the files of the server: store, catalog, handler environments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datamill.errors import SettingsError
from datamill.settings import Settings
from datamill_builder.catalog import Catalog
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.sources import sources_of
from datamill_builder.store import Store


def open_store(settings: Settings) -> Store:
    """Return the store of the home, made at need; raise `SettingsError` where it can't be."""
    try:
        return Store(settings.home / "store")
    except OSError as error:
        raise SettingsError(
            f"DATAMILL_HOME: {settings.home} can't be used: {error.strerror}"
        ) from error


@contextmanager
def open_catalog(settings: Settings) -> Iterator[Catalog]:
    """Give the catalog, made at need."""
    catalog = Catalog(settings.catalog_address)
    try:
        yield catalog
    finally:
        catalog.close()


def environments_in(settings: Settings, catalog: Catalog, store: Store) -> Environments:
    """Return the environments that a builder with these settings uses."""
    sources = list(sources_of(settings).values())
    return Environments(settings.home / "environments", catalog, store, sources)
