"""What dataset ids that are given to commands, or their first characters, stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy import Connection, select

from datamill.errors import InvalidRequest, NothingFound
from datamill_builder.catalog.schema import builds, datasets

_PREFIX = re.compile(r"[0-9a-f]{6,64}")


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
