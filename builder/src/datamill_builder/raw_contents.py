"""Digests of raw files' content, taken once per file: the catalog keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from sqlalchemy import bindparam, select

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import raw_files
from datamill_builder.raw_listing import RawFile

_AT_ONCE = 1000
_THREADS = 4
_UNREADABLE = "unreadable"
_KNOWN = select(raw_files.c.path, raw_files.c.mark, raw_files.c.sha256).where(
    raw_files.c.folder == bindparam("folder"),
    raw_files.c.path.in_(bindparam("paths", expanding=True)),
)


def contents(
    catalog: Catalog, folder: Path, files: Iterable[RawFile]
) -> Iterator[tuple[RawFile, str]]:
    """Yield each file with the SHA-256 of its content, in hex, or the word "unreadable"."""
    coming = iter(files)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="raw") as pool:
        while batch := list(islice(coming, _AT_ONCE)):
            known = _known(catalog, folder, batch)
            missing = [file for file in batch if _key(file) not in known]
            digests = list(pool.map(lambda file: _sha256(folder / file.path), missing))
            fresh = dict(zip((file.path for file in missing), digests, strict=True))
            _keep(catalog, folder, missing, fresh)
            for file in batch:
                yield file, fresh.get(file.path) or known[_key(file)]


def _known(catalog: Catalog, folder: Path, files: list[RawFile]) -> dict[tuple[str, str], str]:
    asked = {"folder": str(folder), "paths": [_text(file.path) for file in files]}
    with catalog.read() as connection:
        return {(row.path, row.mark): row.sha256 for row in connection.execute(_KNOWN, asked)}


def _keep(catalog: Catalog, folder: Path, files: list[RawFile], digests: dict[str, str]) -> None:
    rows = [
        {
            "folder": str(folder),
            "path": _text(file.path),
            "mark": file.mark,
            "sha256": digests[file.path],
        }
        for file in files
        # Permissions leave no mark: what can't be read now may be readable next time.
        if digests[file.path] != _UNREADABLE
    ]
    if rows:
        with catalog.write() as change:
            upsert(change.connection, raw_files, rows, ["folder", "path"])


def _key(file: RawFile) -> tuple[str, str]:
    return _text(file.path), file.mark


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return _UNREADABLE


def _text(path: str) -> str:
    # A name that is no UTF-8 can't be stored as text as it is.
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
