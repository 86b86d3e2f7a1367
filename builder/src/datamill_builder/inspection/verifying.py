"""Verifying: every byte of archives and loose shards is read and compared with its digest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import builds, shards
from datamill_builder.catalog.states import BuildState
from datamill_builder.inspection.reading import Part, Reading, read_archive
from datamill_builder.inspection.structure import flaws
from datamill_builder.inspection.verdict import Verdict, act_on, look
from datamill_builder.store import Store

Tell = Callable[[int], None]


@dataclass
class Finding:
    """How it is with one file of the store.

    `says`: what is wrong, in words; `shards`: the numbers of the shards that are damaged;
    `kept`: where it is now, if it was set aside.
    """

    content_key: str
    file: str
    verdict: Verdict
    bytes: int = 0
    says: list[str] = field(default_factory=list)
    shards: list[int] = field(default_factory=list)
    kept: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def to_verify(connection: Connection, only: Iterable[str] | None = None) -> dict[str, int]:
    """Return the bytes that lie in the store of each build, all or those with some content keys."""
    ready = builds.c.state == BuildState.READY
    archives = connection.execute(select(builds.c.content_key, builds.c.bytes).where(ready))
    loose = connection.execute(
        select(shards.c.content_key, func.sum(shards.c.bytes))
        .where(shards.c.file.is_not(None))
        .group_by(shards.c.content_key)
    )
    found = {key: int(count or 0) for key, count in (*archives, *loose)}
    wanted = found.keys() if only is None else set(only)
    return {key: found[key] for key in sorted(found) if key in wanted}


def verify(
    catalog: Catalog, store: Store, content_key: str, on_read: Tell, *, dry_run: bool = False
) -> Iterator[Finding]:
    """Yield how the files of a build are. What is damaged is set aside, unless `dry_run`."""
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, content_key)
        rows = lifecycle.find_shards(connection, content_key)
    if build is None:
        return
    if build.state == BuildState.READY:
        finding = _archive(catalog, store, build, rows, on_read, dry_run)
        if finding.verdict is not Verdict.UNKNOWN or _is_still(catalog, build):
            yield finding
        return
    for row in rows:
        if row.file is not None:
            finding = _loose_shard(catalog, store, row, on_read, dry_run)
            if finding.verdict is Verdict.SOUND or finding.kept or _is_file_of(catalog, row):
                yield finding


# --- archives -------------------------------------------------------------------------------------


def _archive(
    catalog: Catalog,
    store: Store,
    build: Row[Any],
    rows: list[Row[Any]],
    on_read: Tell,
    dry_run: bool,
) -> Finding:
    reading, trouble = Reading(), ""

    def digest(path: Path) -> str | None:
        nonlocal reading, trouble
        try:
            reading = read_archive(path, _parts(rows), on_read)
        except OSError as error:
            trouble = f"it can't be read: {error.strerror}"
            return None
        return reading.sha256

    found = look(store, build, digest)
    finding = Finding(build.content_key, build.archive, found.verdict, reading.bytes)
    match found.verdict:
        case Verdict.DAMAGED:
            finding.shards = reading.damaged
            finding.says = _damage(reading, build, rows)
        case Verdict.GONE:
            finding.says = ["it is not in the store"]
        case Verdict.UNKNOWN:
            finding.says = [trouble or "it could not be read to its end: try again"]
        case Verdict.SOUND:
            finding.says = flaws(store.archive_path(build.archive), build, rows)
            if finding.says:  # as it was packed: to build it again would not help
                finding.verdict = Verdict.DAMAGED
    if not dry_run:
        kept = act_on(catalog, store, build, found)
        finding.kept = str(kept) if kept else None
        if found.verdict is Verdict.SOUND:
            with catalog.write() as change:
                lifecycle.scrubbed(change, build, time.time())
    return finding


def _parts(rows: list[Row[Any]]) -> list[Part]:
    return [
        Part(row.number, row.archive_offset, row.archive_offset + row.bytes, row.sha256)
        for row in rows
        if row.archive_offset is not None and row.sha256
    ]


def _damage(reading: Reading, build: Row[Any], rows: list[Row[Any]]) -> list[str]:
    said = []
    if reading.bytes != build.bytes:
        said.append(f"{reading.bytes} of {build.bytes} bytes could be read")
    if reading.damaged:
        numbers = ", ".join(map(str, reading.damaged))
        said.append(f"damaged shards, of {len(rows)} from 0 on: {numbers}")
    else:
        said.append("its shards are whole, what is said of them is damaged")
    return said


def _is_still(catalog: Catalog, build: Row[Any]) -> bool:
    with catalog.read() as connection:
        now = lifecycle.find_build(connection, build.content_key)
    return now is not None and (now.state, now.epoch) == (build.state, build.epoch)


# --- loose shards ---------------------------------------------------------------------------------


def _loose_shard(
    catalog: Catalog, store: Store, row: Row[Any], on_read: Tell, dry_run: bool
) -> Finding:
    path = store.shard_path(row.content_key, row.file)
    name = f"shard {row.number} of {row.content_key[:12]}"
    try:
        reading = read_archive(path, (), on_read)
    except FileNotFoundError:
        return Finding(row.content_key, name, Verdict.GONE, says=["its file is not in the store"])
    except OSError as error:
        says = [f"it can't be read: {error.strerror}"]
        return Finding(row.content_key, name, Verdict.UNKNOWN, says=says)
    if reading.sha256 == row.sha256:
        return Finding(row.content_key, name, Verdict.SOUND, reading.bytes)
    says = ["its bytes are not those of its digest; it is made again before it is packed"]
    finding = Finding(row.content_key, name, Verdict.DAMAGED, reading.bytes, says, [row.number])
    if not dry_run:
        finding.kept = _set_aside(catalog, store, row)
    return finding


def _set_aside(catalog: Catalog, store: Store, row: Row[Any]) -> str | None:
    with catalog.write() as change:
        lifecycle.hold_build(change, row.content_key)
        now = lifecycle.find_shard(change.connection, row.content_key, row.number)
        if now is None or now.file != row.file:
            return None
        # Packing finds that it is gone, and has it made again.
        kept = store.quarantine_shard(row.content_key, row.file)
    return str(kept) if kept else None


def _is_file_of(catalog: Catalog, row: Row[Any]) -> bool:
    """Return whether the catalog still names a file: else it was packed or made again meanwhile."""
    with catalog.read() as connection:
        now = lifecycle.find_shard(connection, row.content_key, row.number)
    return now is not None and now.file == row.file
