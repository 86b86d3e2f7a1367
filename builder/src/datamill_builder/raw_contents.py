"""Digests of raw files' content, taken once per file: the catalog keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import bindparam, delete, select

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.rows import upsert
from datamill_builder.catalog.schema import raw_files
from datamill_builder.raw_listing import RawFile

_AT_ONCE = 1000
_THREADS = 4
_HANDED_OUT = 50
"""Files that a thread takes at a time."""
_WHOLE = "."
"""The path of a folder's own row: its mark is a digest of the marks of all its files."""
_LEAST_BYTES, _MOST_BYTES = 4096, 1024 * 1024
"""Read at a time."""
UNREADABLE = "unreadable"
_KNOWN = select(raw_files.c.path, raw_files.c.mark, raw_files.c.sha256).where(
    raw_files.c.folder == bindparam("folder"),
    raw_files.c.path.in_(bindparam("paths", expanding=True)),
)


def contents(
    catalog: Catalog, folder: Path, files: Iterable[RawFile]
) -> Iterator[tuple[RawFile, str]]:
    """Yield each file with the SHA-256 of its content, in hex, or the word "unreadable"."""
    coming, digest = iter(files), partial(_digests, folder)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="raw") as pool:
        while batch := list(islice(coming, _AT_ONCE)):
            keys = [(stored_path(file.path), file.mark) for file in batch]
            known = _known(catalog, folder, keys)
            missing = [file for file, key in zip(batch, keys, strict=True) if key not in known]
            parts = [missing[at : at + _HANDED_OUT] for at in range(0, len(missing), _HANDED_OUT)]
            digests = [each for part in pool.map(digest, parts) for each in part]
            fresh = {file.path: each for file, each in zip(missing, digests, strict=True)}
            _keep(catalog, folder, [(stored_path(f.path), f.mark, fresh[f.path]) for f in missing])
            for file, key in zip(batch, keys, strict=True):
                yield file, fresh.get(file.path) or known[key]


def known_whole(catalog: Catalog, folder: Path, mark: str) -> str | None:
    """Return the digest that was kept for all content together, if it had this mark."""
    return _known(catalog, folder, [(_WHOLE, mark)]).get((_WHOLE, mark))


def keep_whole(catalog: Catalog, folder: Path, mark: str, digest: str) -> None:
    """Keep a digest of all content together; `mark` stands for the marks of all files."""
    _keep(catalog, folder, [(_WHOLE, mark, digest)])


def known_files(catalog: Catalog, folder: Path) -> dict[str, str]:
    """Return the digests that are kept of a folder's files, by `stored_path`."""
    query = select(raw_files.c.path, raw_files.c.sha256).where(
        raw_files.c.folder == str(folder), raw_files.c.path != _WHOLE
    )
    with catalog.read() as connection:
        return {row.path: row.sha256 for row in connection.execute(query)}


def forget_files(catalog: Catalog, folder: Path, paths: Iterable[str]) -> None:
    """Keep no digests of files that are gone, named by `stored_path`."""
    gone = [{"gone": path} for path in paths]
    if not gone:
        return
    one = delete(raw_files).where(
        raw_files.c.folder == str(folder), raw_files.c.path == bindparam("gone")
    )
    with catalog.write() as change:
        change.connection.execute(one, gone)


def _known(
    catalog: Catalog, folder: Path, files: list[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    asked = {"folder": str(folder), "paths": [path for path, _ in files]}
    with catalog.read() as connection:
        rows = connection.execute(_KNOWN, asked).all()
    return {(path, mark): sha256 for path, mark, sha256 in rows}


def _keep(catalog: Catalog, folder: Path, files: list[tuple[str, str, str]]) -> None:
    rows = [
        {"folder": str(folder), "path": path, "mark": mark, "sha256": sha256}
        for path, mark, sha256 in files
        # Permissions leave no mark: what can't be read now may be readable next time.
        if sha256 != UNREADABLE
    ]
    if rows:
        with catalog.write() as change:
            upsert(change.connection, raw_files, rows, ["folder", "path"])


def _digests(folder: Path, files: list[RawFile]) -> list[str]:
    return [_sha256(f"{folder}/{file.path}", file.size) for file in files]


def _sha256(path: str, size: int) -> str:
    # Not `file_digest`: it makes itself a buffer, which takes longer than to read a small file.
    digest, at_once = hashlib.sha256(), max(_LEAST_BYTES, min(size + 1, _MOST_BYTES))
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path each takes long
            while part := file.read(at_once):
                digest.update(part)
    except OSError:
        return UNREADABLE
    return digest.hexdigest()


def stored_path(path: str) -> str:
    """Return a file's path as the catalog has it."""
    # A name that is no UTF-8 can't be stored as text as it is.
    if path.isascii():
        return path
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
