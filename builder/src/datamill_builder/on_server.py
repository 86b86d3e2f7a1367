"""What commands need that work on the server's own files: its catalog, its store, its datasets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, select

from datamill.errors import InvalidRequest, NothingFound, SettingsError
from datamill.settings import Settings
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds, datasets
from datamill_builder.store import Store

_PREFIX = re.compile(r"[0-9a-f]{6,64}")
_FILE = "sqlite:///"


@contextmanager
def catalog_and_store(settings: Settings) -> Iterator[tuple[Catalog, Store]]:
    """Give the catalog and the store of this machine; raise `SettingsError` if they aren't here."""
    address, folder = settings.catalog_address, settings.home / "store"
    missing = address.startswith(_FILE) and not Path(address.removeprefix(_FILE)).is_file()
    if missing or not folder.is_dir():
        raise SettingsError(
            f"DATAMILL_HOME: {settings.home} holds no catalog and store: this works on the data "
            "server itself, with the builder's settings"
        )
    try:
        store = Store(folder)
    except OSError as error:
        raise SettingsError(f"{folder} can't be used: {error.strerror}") from error
    catalog = Catalog(address)
    catalog.tell_hooks(settings.hooks)
    try:
        yield catalog, store
    finally:
        catalog.close()


def content_keys(connection: Connection, given: Iterable[str]) -> list[str]:
    """Return what dataset ids or content keys, or their first characters, stand for; each once.

    Raises `InvalidRequest` for what is none or not enough of one, and `NothingFound`.
    """
    return list(dict.fromkeys(_content_key(connection, each) for each in given))


def _content_key(connection: Connection, given: str) -> str:
    if not _PREFIX.fullmatch(given):
        raise InvalidRequest(f"{given!r} is no dataset id: 64 hex digits, or at least the first 6")
    query = select(datasets.c.content_key).where(datasets.c.dataset_id.startswith(given))
    found = set(connection.scalars(query))
    key = builds.c.content_key
    found |= set(connection.scalars(select(key).where(key.startswith(given))))
    if not found:
        raise NothingFound(f"no dataset id begins with {given}; `datamill list` shows them")
    if len(found) > 1:
        raise InvalidRequest(f"{given} begins the ids of {len(found)} datasets: give more of it")
    (one,) = found
    if one is None:
        raise NothingFound(f"{given}: nothing was built for it yet")
    return str(one)
